"""Command lines, run inside the test or as the process that a person would start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SECONDS = 300


@dataclass(frozen=True)
class Ending:
    """How a command line ended: its exit code, and what it wrote where."""

    code: int
    out: str
    err: str


Run = Callable[..., Ending]


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Start a process that Ctrl-C can reach, and that leaves the other cores alone."""
    # What ignores a signal hands that down; and no Python may run in a fork of a process with threads.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "varangian", *words],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def process(*words: str) -> Ending:
    """Run a command line as a process of its own, through pipes."""
    with start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        out, err = child.communicate(timeout=SECONDS)
    return Ending(child.returncode, out, err)
