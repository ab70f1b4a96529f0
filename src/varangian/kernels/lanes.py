"""Threads of Python, each with one thread of PyTorch: for work that comes in pieces of a cache's size.

PyTorch would share out every single operation, and waking a thread takes as long as a small one. Here whole
pieces are shared out. Within a piece nothing is shared out again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Made = TypeVar("Made")


class _Here(threading.local):
    """What this thread may use: so many lanes; None is as many as PyTorch has threads."""

    lanes: int | None = None


_here = _Here()


def lanes() -> int:
    """Return how many pieces of work may run at once."""
    return torch.get_num_threads() if _here.lanes is None else _here.lanes


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
    waiting: deque[Future[Made]] = deque()
    with lanes_instead_of_threads():
        pool = _pool(lanes())
        try:
            for item in items:
                if len(waiting) == 2 * lanes():
                    made.append(waiting[0].result())
                    waiting.popleft()
                waiting.append(pool.submit(function, item))
            made += [one.result() for one in waiting]
        except BaseException:
            if over is not None:
                over.set()
            for one in waiting:
                one.cancel()
            wait(waiting)
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

    with lanes_instead_of_threads():
        waiting = [_pool(lanes()).submit(lane) for _ in range(helpers)]
        _here.lanes = 1
        try:
            lane()
        finally:
            failures = [one.exception() for one in waiting if not one.cancel()]
    for failure in filter(None, failures):
        raise failure
    return [made[place] for place in range(len(items))]


def spread(function: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """Return ``function`` of every item: each in a lane of its own, or, if they are too few, with all lanes.

    >>> spread(lambda number: number**2, [3])
    [9]
    """
    return each(function, items) if len(items) >= lanes() else [function(item) for item in items]


def meanwhile(function: Callable[[], Made]) -> Future[Made] | None:
    """Begin something that will be asked for later, unless there is one lane only; return its promise."""
    return None if lanes() == 1 else _pool(1).submit(function)


@contextmanager
def lanes_instead_of_threads() -> Iterator[None]:
    """Share out pieces of work only, not operations, while this lasts."""
    before, count = torch.get_num_threads(), _here.lanes
    _here.lanes = lanes()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _here.lanes = count
        torch.set_num_threads(before)


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
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "lane", initializer=_enter)


def _enter() -> None:
    _here.lanes = 1
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
