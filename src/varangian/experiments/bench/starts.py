"""The first call of a rule: with nothing kept, and with the kernels kept by an earlier process.

Both are measured in processes of their own, on narrow vectors, so that making or loading machine code is what
takes the time. A kernel that an earlier rule of the list has made is there already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

import varangian
from varangian.experiments.bench.cases import Case
from varangian.folders import CACHE

WIDTH = 4096


class Start(NamedTuple):
    """Seconds of a first call, on the wall: with nothing kept, and with the kernels on disk."""

    first: float
    kept: float


def starts(todo: Sequence[Case]) -> dict[tuple[str, int, str], Start] | None:
    """Return the first calls by rule, n and dtype, but for what is refused; None if such a process fails."""
    keys = list(dict.fromkeys((case.text, case.n, case.dtype) for case in todo))
    with tempfile.TemporaryDirectory() as folder:
        first, kept = (_process(keys, folder) for _ in range(2))
    if first is None or kept is None:
        return None
    return {
        key: Start(begun, again)
        for key, begun, again in zip(keys, first, kept, strict=False)
        if begun is not None and again is not None
    }


def _process(keys: Sequence[tuple[str, int, str]], folder: str) -> list[float | None] | None:
    source = str(Path(varangian.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    threads = str(torch.get_num_threads())
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],  # -P: whatever lies in the current folder
        input=json.dumps(keys),
        env={**os.environ, CACHE: folder, "PYTHONPATH": paths, "OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    return list(json.loads(done.stdout)) if done.returncode == 0 else None


def main() -> None:
    """Read keys from stdin, and write the seconds of each first call to stdout; null where it is refused."""
    from varangian.errors import VarangianError
    from varangian.experiments.bench.cases import vectors
    from varangian.experiments.bench.timing import timed
    from varangian.kernels.compiled.jit import available

    available()
    taken: list[float | None] = []
    for text, n, dtype in json.load(sys.stdin):
        x = vectors(n, WIDTH, dtype)
        x.sum()
        work = Case(text, n, WIDTH, dtype).work(x)
        try:
            taken.append(timed(work).wall)
        except VarangianError:
            taken.append(None)
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    main()
