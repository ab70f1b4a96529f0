"""Threads that wait in compiled code for a share of somebody's work, and never ask for Python again.

Waking a lane of ``kernels.lanes`` takes a queue, and Python itself, which only one thread has hold of at a
time. Waking a helper takes one call of the system.
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
from varangian.kernels.compiled.tasks import Scratch
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
    """Some helpers and their board, which one caller uses at a time."""

    def __init__(self, system: ctypes.CDLL) -> None:
        self._memory = np.zeros(written.BEDS + written.LINE * (MOST + 1), np.int64)
        self.board, self._growing = -(-self._memory.ctypes.data // 64) * 64, threading.RLock()
        self.share = _share()
        self.share_address = address_of(self.share)
        self._system, self._rooms = system, list[NDArray[np.uint8]]()
        for place, name in enumerate(("sem_wait", "sem_post", "sched_yield")):
            word = ctypes.c_int64.from_address(self.board + 8 * (written.CALLS + place))
            word.value = address_of(getattr(system, name))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # helpers sleep on this memory until the very end

    def grow(self, count: int) -> int:
        """See to it that there are so many helpers, or as many as there can be; return how many."""
        if len(self._rooms) < min(count, MOST):
            with self._growing:
                while len(self._rooms) < min(count, MOST) and self._add():
                    pass
        return min(count, len(self._rooms))

    def _add(self) -> bool:
        room, code = np.empty(ROOM + 64, np.uint8), _help()
        self._rooms.append(room)  # a signal may come between, and no two may have one place
        me = len(self._rooms) - 1
        bed = self.board + 8 * (written.BEDS + written.LINE * me + written.LINE // 2)
        given = self.board, me, -(-room.ctypes.data // 64) * 64
        try:
            if not self._system.sem_init(_POINTER(bed), 0, 0):
                threading.Thread(target=code, args=given, name="helper", daemon=True).start()
                return True
        except RuntimeError:  # no more threads, or Python is about to end
            pass
        self._rooms.pop()
        return False


def together(
    part: Part, args: NDArray[np.int64], total: int, helpers: int, calls: int = 1, kept: object = None
) -> int:
    """Return the sum of what compiled work makes of all parts; this thread, and so many helpers, take them.

    In so many calls: between two, Python looks whether it is interrupted. Where somebody else has the
    helpers, or there are none, lanes do their share. What is ``kept`` is there as long as any of them works.
    """
    team, step, made = crew() if helpers else None, -(-total // calls), 0

    def one(place: int, _kept: object = kept) -> int:
        with Scratch(ROOM) as room:
            return part(args.ctypes.data, place, room)

    for begin in range(0, total, step):
        end, found = min(begin + step, total), -1
        if team is not None:
            with Scratch(ROOM) as room:
                code, who = address_of(part), team.grow(helpers)
                found = team.share(team.board, code, args.ctypes.data, begin, end, who, room)
        if found < 0:
            found = sum(shared(one, range(begin, end)) if helpers else map(one, range(begin, end)))
        made += found
    return made


@cache
def crew() -> Crew | None:
    """Return this process's helpers; None where the system has no semaphores that can be shared with them."""
    if not sys.platform.startswith("linux"):
        return None
    system = ctypes.CDLL(None)
    return Crew(system) if hasattr(system, "sem_init") else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=crew.cache_clear)  # threads do not survive a fork
