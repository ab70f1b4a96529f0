"""A fork of the test's own process, in which something is tried."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest


def holds_in_a_fork(claim: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Return what a claim is in a child process; the test fails if the child hangs."""
    child = os.fork()
    if child == 0:
        held = False
        try:
            held = claim()
        finally:
            os._exit(0 if held else 1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("The child hangs.")
