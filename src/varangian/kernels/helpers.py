"""Threads that wait in compiled code for a share of somebody's work, and never ask for Python again.

Waking a lane of ``kernels.lanes`` takes a queue, two locks, and Python itself, which only one thread has hold
of at a time. Waking a helper takes one call of the system.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from varangian.kernels.compiled import helpers as written
from varangian.kernels.compiled.jit import Compiler
from varangian.kernels.compiled.tasks import scratch
from varangian.kernels.compiled.tiles import address_of
from varangian.kernels.lanes import shared

ROOM = 2**18
"""Bytes in which one thread works, between the loads and the stores."""

MOST = 255
"""Helpers at most."""

Part = Callable[[int, int, int], int]
"""Compiled work: what it is given, which part, and a room; returns a number."""

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64

_help = Compiler(written.help_code, _NUMBER, _POINTER, _NUMBER, _POINTER)
_share = Compiler(written.share_code, _NUMBER, *[_POINTER] * 3, *[_NUMBER] * 3, _POINTER)


class Crew:
    """Some helpers and their board, which one caller uses at a time: who holds ``free``."""

    def __init__(self, system: ctypes.CDLL) -> None:
        self._memory = np.zeros(written.BEDS + written.LINE * (MOST + 1), np.int64)
        self.board, self.free = -(-self._memory.ctypes.data // 64) * 64, threading.Lock()
        self.share = _share()
        self.share_address = address_of(self.share)
        self._system, self._rooms = system, list[NDArray[np.uint8]]()
        for place, name in enumerate(("sem_wait", "sem_post", "sched_yield")):
            word = ctypes.c_int64.from_address(self.board + 8 * (written.CALLS + place))
            word.value = address_of(getattr(system, name))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # helpers sleep on this memory until the very end

    def grow(self, count: int) -> int:
        """See to it that there are so many helpers, or as many as there can be; return how many."""
        for me in range(len(self._rooms), min(count, MOST)):
            bed = self.board + 8 * (written.BEDS + written.LINE * me + written.LINE // 2)
            room = np.empty(ROOM + 64, np.uint8)
            given = self.board, me, -(-room.ctypes.data // 64) * 64
            if self._system.sem_init(_POINTER(bed), 0, 0):
                break
            try:
                threading.Thread(target=_help(), args=given, name="helper", daemon=True).start()
            except RuntimeError:  # no more threads, or Python is about to end
                break
            self._rooms.append(room)
        return min(count, len(self._rooms))


def together(part: Part, args: int, total: int, helpers: int, calls: int = 1) -> int:
    """Return the sum of what compiled work makes of all parts; this thread, and so many helpers, take them.

    In so many calls: between two, Python looks whether it is interrupted. Where somebody else has the
    helpers, or there are none, lanes do their share.
    """
    team = crew() if helpers else None
    if team is None or not team.free.acquire(blocking=False):

        def one(place: int) -> int:
            return part(args, place, scratch(ROOM))

        return sum(shared(one, range(total)) if helpers else map(one, range(total)))
    try:
        step, who, room = -(-total // calls), team.grow(helpers), scratch(ROOM)
        return sum(
            team.share(team.board, address_of(part), args, begin, min(begin + step, total), who, room)
            for begin in range(0, total, step)
        )
    finally:
        team.free.release()


@cache
def crew() -> Crew | None:
    """Return this process's helpers; None where the system has no semaphores that can be shared with them."""
    if not sys.platform.startswith("linux"):
        return None
    system = ctypes.CDLL(None)
    return Crew(system) if hasattr(system, "sem_init") else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew.cache_clear)  # threads do not survive a fork
