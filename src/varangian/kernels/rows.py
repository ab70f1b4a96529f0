"""The vectors as they arrived, read block of columns by block of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

BLOCK_ELEMENTS = 2**17
"""Numbers in a block: one mebibyte in float64, so that what works on it stays in the cache."""

WIDE_ELEMENTS = 2**21
"""Numbers in a wide block, for programs that look at two rows at a time."""

CARD_ELEMENTS = 2**24
"""Numbers at least in a block on a graphics processor, which small ones would keep waiting for orders."""

LINE = 8
"""Numbers of float64 in a line of the cache; blocks are whole lines, but for the last of a segment."""

FEW = 2**13
"""Columns below which all steps between are float64: rounding decides nothing, and it takes no time."""

AXES_OF_ONE = 2
"""Axes of the rows of one problem."""

WORKING_DTYPES = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}

LARGEST = 1e140
"""Larger float64 values are read as this, so that no sum of their squares overflows."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of columns: a matrix ``(*batch, n, d)``, several of them in turn, or n vectors ``(d,)``."""

    vectors: Tensor | tuple[Tensor, ...]

    @cached_property
    def parts(self) -> tuple[Tensor, ...]:
        """Return the tensors."""
        return (self.vectors,) if isinstance(self.vectors, Tensor) else self.vectors

    @property
    def sample(self) -> Tensor:
        """Return a tensor of the segment's dtype and device."""
        return self.parts[0]

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.parts[0].shape[-1]

    @property
    def rows(self) -> int:
        """Return the number of vectors."""
        return sum(1 if part.ndim == 1 else part.shape[-2] for part in self.parts)

    def columns(self, start: int, stop: int) -> Tensor:
        """Return columns ``start`` to ``stop`` as ``(*batch, n, stop - start)``, in the working dtype."""
        parts = [torch.atleast_2d(part)[..., start:stop] for part in self.parts]
        block = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)
        return block.to(WORKING_DTYPES[block.dtype])

    def first(self, columns: Int64[Tensor, " k"]) -> Tensor:
        """Return some columns of the first row, ``(*batch, k)``, in the working dtype."""
        row: Tensor = torch.atleast_2d(self.parts[0])[..., 0, :].index_select(-1, columns)
        return row.to(WORKING_DTYPES[row.dtype])

    def part(self, start: int, stop: int) -> Segment:
        """Return some columns as a segment of its own, nothing copied."""
        return Segment(tuple(part[..., start:stop] for part in self.parts))

    def of_run(self, run: int) -> Segment:
        """Return the rows of one problem of the batch, the problems counted through all axes."""
        if self.sample.ndim <= AXES_OF_ONE:
            return self
        place = tuple(map(int, np.unravel_index(run, self.sample.shape[:-2])))
        return Segment(tuple(part[place] for part in self.parts))

    @property
    def adjacent(self) -> bool:
        """Tell whether, in every row, each number lies beside the next in the memory of this process."""
        return all(p.device.type == "cpu" and (p.stride(-1) == 1 or p.shape[-1] < 2) for p in self.parts)


@dataclass(frozen=True, eq=False)
class Block:
    """Some columns of every row, with their place in the whole."""

    segment: int
    start: int
    stop: int
    offset: int
    values: Tensor

    @property
    def end(self) -> int:
        """Return the column after the last, counted over all segments."""
        return self.offset + self.stop - self.start


class Rows:
    """n vectors as a table of segments, never stacked into a copy of everything.

    Non-finite values are counted per row, and replaced by zero as a block is loaded unless ``sanitise`` is
    off. ``reads`` counts the passes begun. Where other processes hold further columns, ``summed`` adds what
    all of them have measured. ``extras`` are further vectors, one tensor
    ``(*batch, d)`` per segment each, that ride along below the rows of every block. Columns are counted from
    ``first`` on.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        extras: Sequence[Sequence[Tensor]] = (),
        *,
        sanitise: bool = True,
        first: int = 0,
        summed: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.summed = summed
        self.segments = tuple(segments)
        self.extras = tuple(tuple(extra) for extra in extras)
        self.sanitise = sanitise
        self.first = first
        self.reads = 0
        self.batch = tuple(self.segments[0].sample.shape[:-2])
        self.n = self.segments[0].rows
        self.device = self.segments[0].sample.device
        self.nonfinite = torch.zeros(*self.batch, self.n, dtype=torch.int64, device=self.device)

    @cached_property
    def d(self) -> int:
        """Return the number of coordinates of a vector."""
        return sum(segment.width for segment in self.segments)

    @property
    def adjacent(self) -> bool:
        """Tell whether compiled code may read the rows where they lie."""
        return all(segment.adjacent for segment in self.segments)

    def pieces(self, outputs: Sequence[Tensor] = ()) -> Iterator[tuple[Rows, list[Tensor]]]:
        """Yield what is in memory at once, with its part of the outputs: here, everything."""
        yield self, list(outputs)

    def count(self, run: int, counts: Tensor) -> None:
        """Count values of a run's rows that are not finite, if this is the first time they are read."""
        if self.reads == 1:
            self.nonfinite.view(-1, self.n)[run] += counts

    def blocks(self, elements: int = BLOCK_ELEMENTS) -> Iterator[Block]:
        """Read every row once, from the first column to the last, about so many numbers at a time."""
        self.reads += 1
        if self.device.type != "cpu":
            elements = max(elements, CARD_ELEMENTS)
        lines = self.batch_size * (self.n + len(self.extras))
        step = max(64, elements // max(1, lines) // LINE * LINE)
        offset = self.first
        for index, segment in enumerate(self.segments):
            for start in range(0, segment.width, step):
                stop = min(start + step, segment.width)
                values, counts = sound(segment.columns(start, stop), replace=self.sanitise)
                if counts is not None and self.reads == 1:
                    self.nonfinite += counts
                if self.extras:
                    values = torch.cat([values, *self._extra_rows(index, start, stop, values)], dim=-2)
                yield Block(index, start, stop, offset + start, values)
            offset += segment.width

    @property
    def batch_size(self) -> int:
        """Return the number of independent problems."""
        return int(torch.Size(self.batch).numel())

    def _extra_rows(self, index: int, start: int, stop: int, like: Tensor) -> list[Tensor]:
        shape = (*self.batch, 1, stop - start)
        return [extra[index][..., None, start:stop].to(like.dtype).expand(shape) for extra in self.extras]


def sound(values: Tensor, *, replace: bool = True) -> tuple[Tensor, Tensor | None]:
    """Return the values with zero for what is not finite, and how many of those each row has, if any.

    They are counted only, and not replaced, if ``replace`` is off.
    """
    counts = None
    # A sum over anything non-finite is non-finite, and it takes a fraction of the time to look at.
    if not values.sum().isfinite():
        finite = values.isfinite()
        counts = (~finite).sum(-1)
        if replace:
            values = torch.where(finite, values, 0.0)
    if replace and values.dtype == torch.float64:
        values = values.clamp(-LARGEST, LARGEST)
    return values, counts


def within(columns: Int[Tensor, " c"], start: int, stop: int) -> Int[Tensor, " s"]:
    """Return which of the columns, that are in order, lie from ``start`` to ``stop``, counted from there.

    >>> within(torch.tensor([1, 4, 5, 9]), 4, 9)
    tensor([0, 1])
    """
    ends = torch.tensor([start, stop], device=columns.device)
    low, high = torch.searchsorted(columns, ends).tolist()
    found: Tensor = columns[low:high] - start
    return found


def copies_at_end(values: Tensor) -> int:
    """Return how many rows at the end equal the last one in every column, itself included.

    >>> copies_at_end(torch.tensor([[1.0], [3.0], [3.0]]))
    2
    """
    last, n = values[..., -1, :], values.shape[-2]
    count = 1
    while count < n and torch.equal(values[..., n - 1 - count, :], last):
        count += 1
    return count
