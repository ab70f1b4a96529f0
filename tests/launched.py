"""A command in processes of its own, as a user starts it, on this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import varangian


def launched(*command: object, seconds: int = 300) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments; what goes wrong in it fails the test."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(varangian.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        },
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done


def torchrun(
    ranks: int, *command: object, options: tuple[str, ...] = ("--standalone",)
) -> subprocess.CompletedProcess[str]:
    """Run a script on ranks of torchrun."""
    return launched("-m", "torch.distributed.run", *options, f"--nproc-per-node={ranks}", *command)
