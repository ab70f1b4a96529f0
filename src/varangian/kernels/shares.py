"""What is taken of the rows for sums of them, and the steps that make the sums in a tile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from varangian.kernels.compiled.combine import TOGETHER, combine, scaled
from varangian.kernels.compiled.tiles import BYTES, PITCH, Step
from varangian.kernels.ranges import Ranges

ROW = 8 * PITCH
"""Bytes that a row of a tile may take."""


@dataclass(frozen=True)
class Shares:
    """What is taken of the rows of one run: those that weigh, then those that are only looked at.

    ``weights`` are those of the sums ``(p, rows)``, or None if the rows themselves are what is wanted. Equal
    sums are made once; ``which`` tells which of them each of the m that are asked for is.
    """

    rows: NDArray[np.intp]
    weighing: int
    weights: NDArray[np.float64] | None
    which: NDArray[np.intp]

    @classmethod
    def of(cls, weights: NDArray[np.float64], n: int, *, all_rows: bool) -> Shares:
        """Return the shares for weights ``(m, k)``; if ``all_rows``, each of the n rows is taken once."""
        weights, which = told_apart(weights)
        some = weights != 0
        if not all_rows and (some.sum(1) == 1).all() and (weights.max(1) == 1).all():
            return cls(weights.argmax(1), len(weights), None, which)
        weigh = some.any(0)
        order = weigh.nonzero()[0]
        if not len(order):
            order = np.array([-1])  # the origin, which weighs nothing
        idle = (~weigh[:n]).nonzero()[0] if all_rows else order[:0]
        return cls(np.concatenate([order, idle]), len(order), weights[:, order], which)

    @property
    def real(self) -> bool:
        """Tell whether something is taken that is no origin."""
        return int(self.rows[0]) >= 0

    @cached_property
    def single(self) -> NDArray[np.float64]:
        """Return the weights of the only sum, row after row."""
        return np.ones(1) if self.weights is None else np.ascontiguousarray(self.weights[0])

    @cached_property
    def together(self) -> NDArray[np.float64]:
        """Return the weights as compiled code reads them, if there are sums."""
        return np.empty(0) if self.weights is None else grouped(self.weights)

    @property
    def ranges(self) -> Ranges | None:
        """Return how the sums are put together of ranges of rows, if every row of a sum weighs the same."""
        alone = self.real and self.weighing == len(self.rows)
        return None if self.weights is None or not alone else Ranges.of(self.weights)

    @property
    def room(self) -> int:
        """Return how many bytes the tiles take."""
        return ROW * (len(self.rows) + TOGETHER * len(self.together))

    def points(self, kind: str, tile: int) -> NDArray[np.uint64]:
        """Return where each of the m is, given the tile in which the sums are."""
        return lines(kind, tile, self.which)

    def steps(self, kind: str, tile: int) -> tuple[list[Step], int, int]:
        """Return the steps that make the sums, the tile in which these will be, and what is free after it."""
        free = tile + ROW * len(self.rows)
        if self.weights is None:
            return [], tile, free
        groups, some = len(self.together), self.weights != 0
        if (some.sum(1) == 1).all():
            where = tile + BYTES[kind] * PITCH * some.argmax(1).astype(np.uint64)
            step = Step.of(scaled(kind), where, self.weights[some], len(where), free)
        else:
            step = Step.of(combine(kind), self.together, groups, self.weighing, tile, free)
        return [step], free, free + ROW * TOGETHER * groups


def lines(kind: str, tile: int, places: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return where rows of a tile are, given their places in it."""
    return (tile + BYTES[kind] * PITCH * places).astype(np.uint64)


def grouped(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights ``(m, k)`` as compiled code reads them: so many sums together, row after row."""
    whole = np.pad(weights, ((0, -len(weights) % TOGETHER), (0, 0)))
    return np.ascontiguousarray(whole.reshape(-1, TOGETHER, weights.shape[1]).swapaxes(1, 2))


def told_apart(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the rows without their repetitions, and which of these each row is."""
    first: dict[bytes, int] = {}  # of many small tables; NumPy's unique rows take longer than all the rest
    which = np.array([first.setdefault(row.tobytes(), len(first)) for row in rows], dtype=np.intp)
    return rows[np.unique(which, return_index=True)[1]], which
