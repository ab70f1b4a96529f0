"""Sums that take a row or leave it, put together from sums of ranges of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from varangian.kernels.compiled.ranges import STRIP, chosen_sums
from varangian.kernels.compiled.tiles import Step

SMALL = 1e-30
"""What rows are multiplied by in float32 is no smaller."""

Taken = NDArray[np.bool_]
"""Which sums take which rows, ``(m, k)``; or all of which ranges."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """Parts of sums: what all take, then the other rows, then ranges of these; see ``chosen_sums``.

    ``order`` has the rows that all take first, so many as ``common`` says, then those that most take. The
    lists of the ranges' parts, and then of the sums', stand one after the other in ``listed``, and end at
    ``ends``. Sums are multiplied by ``scales``, and rows, if that is needed, by ``factors``, in order.
    ``totals`` are those scales times the number of rows.
    """

    order: NDArray[np.intp]
    common: int
    listed: NDArray[np.int64]
    ends: NDArray[np.int64]
    scales: NDArray[np.float64]
    totals: NDArray[np.float64]
    factors: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> Ranges | None:
        """Return what weights ``(m, k)`` ask for, or None.

        All rows of a sum have to count the same, or every row the same in all sums that take it.
        """
        taken, factors = weights != 0, None
        scales = weights[np.arange(len(weights)), taken.argmax(1)]
        if not np.array_equal(weights, taken * scales[:, None]):
            factors, scales = weights[taken.argmax(0), np.arange(weights.shape[1])], np.ones(len(weights))
            if not np.array_equal(weights, taken * factors):
                return None
        counts = taken.sum(0)
        order = np.argsort(-counts, kind="stable")
        common = int((counts == len(weights)).sum())
        used = _ranges(taken[:, order[common:]])
        of_ranges = []
        parts = [np.full((len(weights), 1), common > 0), used[0][:, : len(order) - common]]
        for level, ranges in enumerate(used[1:], 1):
            for place in ranges.sum(0).nonzero()[0]:
                of_ranges.append(np.arange(place << level, (place + 1) << level) + 1)
                parts.append(ranges[:, place, None])
        of_sums = np.concatenate(parts, axis=1)
        listed = np.concatenate([*of_ranges, of_sums.nonzero()[1]])
        lengths = [*map(len, of_ranges), *of_sums.sum(1)]
        in_order = None if factors is None else factors[order]
        return cls(order, common, listed, np.cumsum(lengths), scales, scales * taken.sum(1), in_order)

    @property
    def room(self) -> int:
        """Return how many bytes all parts of a strip of columns take."""
        return STRIP * (1 + len(self.order) - self.common + self._count)

    def step(
        self,
        element: str,
        rows: NDArray[np.uint64],
        tile: int,
        room: int,
        marks: int,
        *,
        exact: bool,
    ) -> Step:
        """Return the step that sums rows, given where they are, into a tile, which it marks if need be.

        If ``exact``, or if there is no row that all take, or a number too small for float32, the sums are
        rounded once, from float64.
        """
        least = min(np.abs(some).min() for some in (self.scales, self.factors) if some is not None)
        exact = exact or not self.common or bool(least < SMALL)
        kind, dtype = ("double", np.float64) if exact else ("float", np.float32)
        return Step.of(
            chosen_sums(element, kind, self.factors is not None),
            rows[self.order],
            self.common,
            len(self.order),
            self.ends,
            self._places,
            self._count,
            np.column_stack([self.scales, self.totals]).astype(dtype),
            len(self.scales),
            tile,
            room,
            marks,
            *([] if self.factors is None else [self.factors.astype(dtype)]),
        )

    @property
    def _count(self) -> int:
        """Return how many ranges there are."""
        return len(self.ends) - len(self.scales)

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        return self.listed * STRIP


def _ranges(taken: Taken) -> list[Taken]:
    """Return which sums take which ranges of one row, of two, of four, and so on: always the largest."""
    k = taken.shape[1]
    levels = [np.zeros((len(taken), 1 << (k - 1).bit_length()), np.bool_)]
    levels[0][:, :k] = taken
    while levels[-1].shape[1] > 1:
        halves = levels[-1].reshape(len(taken), -1, 2)
        levels.append(halves[..., 0] & halves[..., 1])
    return [*(whole & ~np.repeat(above, 2, axis=1) for whole, above in pairwise(levels)), levels[-1]]
