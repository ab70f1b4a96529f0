"""Threads of Python, each with one thread of PyTorch: for work that comes in pieces of a cache's size.

PyTorch would share out every single operation, and waking a thread takes as long as a small one. Here whole
pieces are shared out. Within a piece nothing is shared out again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

import torch

from varangian.kernels.errands import Errand, Runners, settle

Item = TypeVar("Item")
Made = TypeVar("Made")


class _Here(threading.local):
    """What this thread may use: so many lanes; None is as many as PyTorch has threads."""

    lanes: int | None = None
    depth: int = 0
    """How many times over it shares out pieces only."""
    known: bool = False
    """Whether it has shared out work before: then PyTorch says what it was told here, and not elsewhere."""


_here = _Here()

_lent: dict[int, int] = {}
"""How many threads of PyTorch those have, by who they are, who share out pieces now: new threads find one."""


def lanes() -> int:
    """Return how many pieces of work may run at once."""
    if _here.lanes is not None:
        return _here.lanes
    threads = torch.get_num_threads()
    return threads if _here.known or threads > 1 else max(_lent.values(), default=1)


def each(
    function: Callable[[Item], Made], items: Iterable[Item], over: threading.Event | None = None
) -> list[Made]:
    """Return ``function`` of every item, in order; as many at once as there are lanes.

    Items are taken one after the other in the calling thread, and few before they are worked on. If one
    fails, or the caller is interrupted, ``over`` is set, and what has begun is waited for.

    >>> each(lambda number: number**2, range(4))
    [0, 1, 4, 9]
    """
    if lanes() == 1:
        return [function(item) for item in items]
    made: list[Made] = []
    waiting: deque[Errand[Made]] = deque()
    with lanes_instead_of_threads():
        runners = _runners(lanes())
        try:
            for item in items:
                if len(waiting) == 2 * lanes():
                    made.append(waiting[0].result())
                    waiting.popleft()
                errand = Errand(partial(function, item))
                waiting.append(errand)
                if not runners.give(errand):  # no more threads can be had
                    waiting.pop()
                    made += [errand.result() for errand in waiting]
                    waiting.clear()
                    made.append(function(item))
            made += [errand.result() for errand in waiting]
        except BaseException:
            if over is not None:
                over.set()
            for errand in [errand for errand in waiting if not errand.call_off()]:
                errand.wait()
            raise
    return made


def shared(function: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """Return ``function`` of every item, in order; lanes, of which the caller is one, take what is next.

    So few threads are woken, once. If one fails, or the caller is interrupted, nothing more is begun.

    >>> shared(lambda number: number**2, range(4))
    [0, 1, 4, 9]
    """
    helpers = min(lanes(), len(items)) - 1
    if helpers < 1:
        return [function(item) for item in items]
    left, made = deque[int | None](range(len(items))), dict[int, Made]()
    enough = [None] * (helpers + 1)
    left += enough

    def lane() -> None:
        try:
            for place in iter(left.popleft, None):
                made[place] = function(items[place])
        except BaseException:
            left.extendleft(enough)
            raise

    errands = [Errand(lane) for _ in range(helpers)]
    with lanes_instead_of_threads():
        try:
            runners = _runners(lanes())
            for errand in errands:
                runners.give(errand)
            _here.lanes = 1
            lane()
        finally:
            try:
                left.extendleft(enough)
            finally:
                settle(errands)
    for failure in filter(None, [errand.failure for errand in errands]):
        raise failure
    return [made[place] for place in range(len(items))]


def spread(function: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """Return ``function`` of every item: each in a lane of its own, or, if they are too few, with all lanes.

    >>> spread(lambda number: number**2, [3])
    [9]
    """
    return each(function, items) if len(items) >= lanes() else [function(item) for item in items]


def meanwhile(function: Callable[[], Made]) -> Errand[Made] | None:
    """Begin something that will be asked for later; return None if no other lane can do it."""
    errand = Errand(function)
    return errand if lanes() > 1 and _runners(1).give(errand) else None


@contextmanager
def lanes_instead_of_threads() -> Iterator[None]:
    """Share out pieces of work only, not operations, while this lasts."""
    count, depth, me = _here.lanes, _here.depth, threading.get_ident()
    before = torch.get_num_threads() if count is not None else lanes()
    try:
        _here.depth = depth + 1
        _here.lanes = lanes()
        if count is None:
            _lent[me] = before
        torch.set_num_threads(1)
        yield
    finally:
        # If an interrupt came just as this began, what is around it may have ended before.
        if _here.depth > depth:
            _here.depth, _here.lanes, _here.known = depth, count, True
            try:
                torch.set_num_threads(before)
            finally:
                if count is None:
                    _lent.pop(me, None)


@contextmanager
def threads_instead_of_lanes() -> Iterator[None]:
    """Share out single operations again, for a few large ones, while this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(lanes())
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _runners(count: int) -> Runners:
    return Runners(count, "lane", _enter)


def _enter() -> None:
    _here.lanes = 1
    torch.set_num_threads(1)


def _forget() -> None:
    """Begin anew after a fork, which threads do not survive."""
    _runners.cache_clear()
    _lent.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
