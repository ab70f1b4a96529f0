"""Run the checks on ranks, as ``launch.py FOLDER COUNT...`` (ranks are forks), or on those of torchrun.

Every rank writes what it found to FOLDER/COUNT-RANK.json; the exit code is that of the worst rank.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))
from engines.torchdist import hooked, sharded

SECONDS = 60
CHECKS = {**hooked.CHECKS, **sharded.CHECKS}
COUNTS = {**hooked.COUNTS, **sharded.COUNTS}


def work(folder: str, rank: int, n: int, port: int | None) -> None:
    """Be one rank."""
    torch.set_num_threads(1)
    store = None if port is None else dist.TCPStore("127.0.0.1", port)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n, timeout=timedelta(seconds=SECONDS))
    found = {name: check(n, rank) for name, check in CHECKS.items() if n in COUNTS[name]}
    Path(folder, f"{n}-{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()


def forked(folder: str, n: int) -> int:
    """Start n ranks as forks of this process, which has imported everything; return the worst exit code."""
    context = multiprocessing.get_context("fork")
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = [context.Process(target=work, args=(folder, rank, n, store.port)) for rank in range(n)]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join()
    return max(abs(one.exitcode or 0) for one in ranks)


if __name__ == "__main__":
    where, *counts = sys.argv[1:]
    if "TORCHELASTIC_RUN_ID" in os.environ:
        work(where, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), None)
    else:
        sys.exit(max(forked(where, int(count)) for count in counts))
