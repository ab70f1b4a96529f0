"""Run checks on ranks, as ``launch.py FOLDER MODULES COUNT...`` (ranks are forks), or on those of torchrun.

MODULES are those of this folder, with commas, that have CHECKS, and the COUNTS of ranks for each.
Every rank writes what it found to FOLDER/COUNT-RANK.json; the exit code is that of the worst rank.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
from datetime import timedelta
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import ModuleType

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))
SECONDS = 60


def named(names: str) -> list[ModuleType]:
    return [importlib.import_module(f"engines.torchdist.{name}") for name in names.split(",")]


def work(folder: str, names: str, rank: int, n: int, port: SimpleQueue[int] | None) -> None:
    """Be one rank."""
    torch.set_num_threads(1)
    store = None if port is None else dist.TCPStore("127.0.0.1", port.get())
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n, timeout=timedelta(seconds=SECONDS))
    checks = [
        (module.COUNTS[name], name, check) for module in named(names) for name, check in module.CHECKS.items()
    ]
    found = {name: check(n, rank) for counts, name, check in checks if n in counts}
    Path(folder, f"{n}-{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()


def forked(folder: str, names: str, n: int) -> int:
    """Start n ranks as forks of this process, which has imported everything; return the worst exit code."""
    named(names)
    context = multiprocessing.get_context("fork")
    port: SimpleQueue[int] = context.SimpleQueue()
    ranks = [
        context.Process(target=work, args=(folder, names, rank, n, port), daemon=True) for rank in range(n)
    ]
    for one in ranks:
        one.start()
    # Only now: a fork could find a lock taken for ever that the store's thread holds just then.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for _ in ranks:
        port.put(store.port)
    for one in ranks:
        one.join()
    return max(abs(one.exitcode or 0) for one in ranks)


if __name__ == "__main__":
    where, which, *counts = sys.argv[1:]
    if "TORCHELASTIC_RUN_ID" in os.environ:
        work(where, which, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), None)
    else:
        sys.exit(max(forked(where, which, int(count)) for count in counts))
