"""Rows cut into stretches of columns that a compiled function does in one call, shared out among lanes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.lanes import lanes, shared
from varangian.kernels.rows import AXES_OF_ONE, Rows

Made = TypeVar("Made")

STRETCH = 2**19
"""Numbers in a stretch, which a lane takes at a time: more are worth waking a thread."""

EACH = 16
"""Stretches of long rows for a lane: between more, time is lost; after fewer, lanes wait for each other."""


class Stretch(NamedTuple):
    """Columns ``start`` to ``stop`` of one run's rows in one segment."""

    segment: int
    run: int
    start: int
    stop: int


def stretches(
    rows: Rows, tiles: Sequence[int], runs: Sequence[int] | None = None, *, each: int = EACH
) -> Iterator[Stretch]:
    """Yield all columns of all runs, or of some; whole tiles together, whose width each segment has its own.

    No stretch is shorter than a tile, unless the segment is: what is done again to fill the last tile lies in
    the same stretch. Where stretches are cut depends on the lanes, and so no result may depend on that.
    """
    for segment, (part, tile) in enumerate(zip(rows.segments, tiles, strict=True)):
        step = step_of(part.width, rows.n, tile, lanes(), each)
        if part.width <= step:
            ends = [0, part.width][: 2 * part.width]
        else:
            ends = [*range(0, part.width - tile + 1, step), part.width]
        for run in range(rows.batch_size) if runs is None else runs:
            for start, stop in pairwise(ends):
                yield Stretch(segment, run, start, stop)


def step_of(width: int, n: int, tile: int, lanes: int, each: int = EACH) -> int:
    """Return how many columns of a segment are a stretch, as many tiles."""
    return max(1, STRETCH // (n * tile), -(-width // (each * lanes * tile))) * tile


def few_columns(start: int, stop: int, n: int) -> Iterator[tuple[int, int]]:
    """Yield the columns of a stretch again, so few at a time that a copy of n rows takes hardly any room."""
    step = max(1, STRETCH // n)
    yield from ((begin, min(begin + step, stop)) for begin in range(start, stop, step))


def carry_out(work: Callable[[Stretch], Made], parts: Sequence[Stretch], n: int) -> list[Made]:
    """Return what the work makes of every stretch of n rows, in order; few numbers are not shared out."""
    if n * sum(part.stop - part.start for part in parts) <= STRETCH:
        return [work(part) for part in parts]
    return shared(work, parts)


class _Here(threading.local):
    """What this thread works in between the loads and the stores, and where it begins."""

    room: tuple[NDArray[np.uint8], int] = np.empty(0, np.uint8), 0


_here = _Here()
_NOWHERE = _here.room


class Scratch:
    """The address of so many bytes that are this block's: the thread's room, unless that is in use.

    It is where a handler of a signal aggregates in the middle of an aggregation.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> int:
        self._room, _here.room = _here.room, _NOWHERE
        if len(self._room[0]) < self.size + 64:
            memory = np.empty(self.size + 64, np.uint8)
            self._room = memory, -(-int(memory.ctypes.data) // 64) * 64
        return self._room[1]

    def __exit__(self, *_: object) -> None:
        _here.room = self._room


def addresses(vectors: Tensor | Sequence[Tensor]) -> NDArray[np.uint64]:
    """Return where each vector begins, ``(batch, n)``, of what a segment holds."""
    if not isinstance(vectors, Tensor):
        if vectors[0].ndim == 1:
            return np.array([[vector.data_ptr() for vector in vectors]], dtype=np.uint64)
        return np.concatenate([addresses(part) for part in vectors], axis=1)
    first, size = vectors.data_ptr(), vectors.element_size()
    if vectors.ndim == AXES_OF_ONE and (step := vectors.stride(0) * size) > 0:
        return np.arange(first, first + vectors.shape[0] * step, step, dtype=np.uint64)[None]
    places = np.zeros((), dtype=np.int64)
    for count, stride in zip(vectors.shape[:-1], vectors.stride()[:-1], strict=True):
        places = places[..., None] + np.arange(count) * (stride * size)
    return (places.reshape(-1, vectors.shape[-2]) + first).astype(np.uint64)


def begins(vectors: Tensor) -> list[int]:
    """Return where the vectors ``(*batch, d)`` begin."""
    if vectors.ndim == 1:
        return [vectors.data_ptr()]
    places: list[int] = addresses(vectors[..., None, :])[:, 0].tolist()
    return places


def name_of(dtype: torch.dtype) -> str:
    """Return a dtype's name."""
    return str(dtype).removeprefix("torch.")
