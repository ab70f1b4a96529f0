"""Which pairs of rows are measured, block by block, and where the table of all has what comes out."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varangian.kernels.compiled.distances import Shape, shapes, side

Pairs = NDArray[np.bool_]
"""Which pairs, ``(k, k)``, symmetric."""


class Plan(NamedTuple):
    """Which rows are taken, in order, and which pairs of their blocks are measured.

    The last block has ``last`` rows; ``counts`` are how many pairs have each of the ``shapes``, in order.
    """

    rows: NDArray[np.intp]
    last: int
    pairs: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, wanted: Pairs, *, whole: bool) -> Plan:
        """Return what measures the wanted pairs; if ``whole``, all rows are needed for that."""
        return _plan(wanted.tobytes(), len(wanted), whole)

    @classmethod
    def made(cls, wanted: Pairs, *, whole: bool) -> Plan:
        """Return the same, made anew."""
        rows = np.flatnonzero(wanted.any(1) | whole)
        blocks = -(-len(rows) // side())
        spare = blocks * side() - len(rows)
        last = side() - spare
        blockwise = np.pad(wanted[np.ix_(rows, rows)], (0, spare)).reshape(blocks, side(), blocks, side())
        found: dict[Shape, list[tuple[int, int]]] = {shape: [] for shape in shapes(last)}
        for one, other in np.argwhere(np.triu(blockwise.any((1, 3)))).tolist():
            size = last if other == blocks - 1 else side()
            found[Shape(size, 0) if one == other else Shape(side(), size)].append((one, other))
        kept = [places if shape.pairs else [] for shape, places in found.items()]
        return cls(
            rows,
            last,
            np.array([pair for places in kept for pair in places], dtype=np.int64).reshape(-1, 2),
            np.array([len(places) for places in kept], dtype=np.int64),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the tables of all pairs of blocks."""
        return len(self.pairs), side(), side()

    def spread(self, sums: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Return the tables ``(runs, k, k)``, given those of the pairs of blocks."""
        count = len(self.rows)
        blocks = -(-count // side())
        whole = np.zeros((len(sums), blocks, blocks, side(), side()))
        one, other = self.pairs.T
        whole[:, one, other] += sums
        whole[:, other, one] += sums.swapaxes(-1, -2)
        square = whole.swapaxes(2, 3).reshape(len(sums), blocks * side(), blocks * side())
        tables = np.zeros((len(sums), k, k))
        tables[:, self.rows[:, None], self.rows] = square[:, :count, :count]
        return tables


@lru_cache(maxsize=64)
def _plan(wanted: bytes, k: int, whole: bool) -> Plan:
    """Return a plan, which is often the same as that of the last call."""
    return Plan.made(np.frombuffer(wanted, dtype=np.bool_).reshape(k, k), whole=whole)
