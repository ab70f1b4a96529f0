"""Keeps the interpreter from ending while threads of gloo still hold tensors of ours.

Such a thread says that a collective is done, and lets go of the tensors after that, for which it takes
Python's lock. If the interpreter has begun to end by then, as happens on a busy machine, the process aborts:
"terminate called without an active exception". Destroying the process group is no help while a DDP model
refers to it.
"""

import atexit
import time
from collections import deque
from functools import cache
from typing import Any
from weakref import ref

from torch import Tensor

PATIENCE = 10.0
"""Seconds that an exit waits at most, for a thread that hangs in a collective."""

GRACE = 0.1
"""Seconds that it waits after that: who has let go is still on the way out, and may need the lock again."""

_lent: deque[ref[Any]] = deque(maxlen=64)  # a group has two threads, each with the tensors of one call


def lent(loan: Any) -> Any:
    """Return what a thread may hold while nobody else does: a tensor's alias, or a callback itself."""
    fresh = loan.detach() if isinstance(loan, Tensor) else loan  # a view would hold what it is a view of
    _at_exit()
    _lent.append(ref(fresh))
    return fresh


@cache
def _at_exit() -> None:
    atexit.register(_await_return)


def _await_return() -> None:
    """Leave Python's lock to the threads until they hold nothing."""
    end, waits = time.monotonic() + PATIENCE, False
    while any(loan() is not None for loan in _lent) and time.monotonic() < end:
        time.sleep(0.001)
        waits = True
    if waits:
        time.sleep(GRACE)
