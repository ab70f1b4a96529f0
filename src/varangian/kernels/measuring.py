"""Tables of squared distances between rows that lie in memory, by compiled code.

Differences and squares are taken in float32 and added up in float64 from tile to tile; of float64 rows, and
of short ones, everything is float64. What float32 turns out to be too narrow for is measured again in
float64. The value of a pair depends on nothing but the two rows: not on the others, the batch, or the
threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.compiled.distances import PANEL, pairs, side
from varangian.kernels.compiled.tasks import Stretch, carry_out, name_of, scratch, stretches
from varangian.kernels.compiled.tiles import TILE, Step, run, take
from varangian.kernels.places import Places, readable
from varangian.kernels.rows import Rows

TOO_SMALL = 1e-30
"""Per column: a smaller squared distance in float32 may have lost digits to what counted as zero."""

FEW = 2**13
"""Columns below which everything is float64: rounding has too few to cancel over, and it takes no time."""

Pairs = NDArray[np.bool_]
"""Which pairs, ``(k, k)``, symmetric."""


def measurable(rows: Rows) -> bool:
    """Tell whether compiled code can measure these rows, and the extras beside them."""
    return readable(rows) and rows.sanitise


def measured(rows: Rows, pivots: Sequence[int | None], *, all_pairs: bool) -> Float[Tensor, "*batch k k"]:
    """Return the squared distances between the rows, then the pivots; NaN between rows unless wanted.

    A pivot is the place of one of the extras, or None for the origin.
    """
    rows.reads += 1
    k = rows.n + len(pivots)
    wanted = np.ones((k, k), dtype=bool)
    wanted[: rows.n, : rows.n] = all_pairs
    look = _Look(rows, pivots)
    tables, counts = look.at(wanted, range(rows.batch_size))
    for place, found in enumerate(counts):
        if found.any():
            rows.count(place, torch.from_numpy(found[: rows.n]))
    if rows.d >= FEW and any(segment.sample.dtype != torch.float64 for segment in rows.segments):
        apart = wanted & ~np.eye(k, dtype=bool)
        small = apart & (tables < TOO_SMALL * rows.d)
        large = apart & ~np.isfinite(tables)
        again = [
            _mend(look, place, tables[place], small[place], large[place])
            for place in np.flatnonzero((small | large).any((1, 2))).tolist()
        ]
        rows.reads += any(again)
    return torch.from_numpy(tables).view(*rows.batch, k, k)


def _mend(look: _Look, place: int, table: NDArray[np.float64], small: Pairs, large: Pairs) -> bool:
    """Measure again, in float64, what was too small or too large; tell whether that read every row.

    Many small ones are copies of one vector, and that takes a look at one pair each to find out.
    """
    k = len(table)
    first = (small | np.eye(k, dtype=bool)).argmax(1)
    copies = first != np.arange(k)
    if copies.any():
        one, other = np.flatnonzero(copies), first[copies]
        star = np.zeros((k, k), dtype=bool)
        star[one, other] = star[other, one] = True
        near = look.at(star, [place], careful=True)[0][0]
        group = np.arange(k)
        group[one] = np.where(near[one, other] == 0, other, one)
        same = small & (group[:, None] == group)
        table[same] = 0
        small = small & ~same
    left = np.logical_or(small, large)
    if not left.any():
        return False
    np.copyto(table, look.at(left, [place], careful=True)[0][0], where=left)
    return bool(np.any(left, axis=1)[: look.rows.n].all())


class _Look:
    """Measures any pairs of the rows and the pivots after them."""

    def __init__(self, rows: Rows, pivots: Sequence[int | None]) -> None:
        self.rows = rows
        self.places = Places(rows)
        last = rows.n + len(rows.extras)
        below = [last if pivot is None else rows.n + pivot for pivot in pivots]
        self.chosen = np.array([*range(rows.n), *below])

    def at(
        self, wanted: Pairs, runs: Sequence[int], *, careful: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the distances ``(runs, k, k)`` of the wanted pairs, NaN elsewhere, and what is not finite.

        If careful, everything is float64. All rows that are wanted in some pair are read once.
        """
        plan = _Plan.of(wanted)
        parts = list(stretches(self.rows, [PANEL] * len(self.rows.segments), runs))
        made = carry_out(lambda part: self._part(plan, part, careful), parts, self.rows.n)
        order = {run: place for place, run in enumerate(runs)}
        sums = np.zeros((len(runs), *plan.shape))
        counts = np.zeros((len(runs), len(wanted)), dtype=np.int64)
        for part, (tables, found) in zip(parts, made, strict=True):
            for table in tables:
                sums[order[part.run]] += table
            counts[order[part.run], plan.rows] += found[: len(plan.rows)]
        return np.where(wanted, plan.spread(sums, len(wanted)), np.nan), counts

    def _part(
        self, plan: _Plan, part: Stretch, careful: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the tables of the panels of a stretch, and what is not finite in it."""
        dtype = self.rows.segments[part.segment].sample.dtype
        double = careful or dtype == torch.float64 or self.rows.d < FEW
        kind = "double" if double else "float"
        where = np.append(
            self.places.of_segments[part.segment][part.run][self.chosen[plan.rows]], plan.padding
        )
        tile = scratch(8 * TILE * len(where))
        tables = np.zeros((-(-(part.stop - part.start) // PANEL), *plan.shape))
        counts = np.zeros(len(where), dtype=np.int64)
        load = Step.of(take(name_of(dtype), kind, sanitise=True), where, len(where), tile, counts)
        add = Step.of(pairs(kind), plan.pairs, len(plan.pairs), tile, tables, part.start)
        run([load, add], part.start, part.stop)
        return tables, counts


class _Plan(NamedTuple):
    """Which rows are taken into a tile, in order, and which pairs of their blocks are measured."""

    rows: NDArray[np.intp]
    pairs: NDArray[np.int64]
    padding: NDArray[np.uint64]

    @classmethod
    def of(cls, wanted: Pairs) -> _Plan:
        """Return what measures the wanted pairs."""
        rows = np.flatnonzero(wanted.any(1))
        spare = -len(rows) % side()
        blocks = (len(rows) + spare) // side()
        whole = np.pad(wanted[np.ix_(rows, rows)], (0, spare)).reshape(blocks, side(), blocks, side())
        pairs = np.stack(np.nonzero(np.triu(whole.any((1, 3)))), axis=1).astype(np.int64, order="C")
        return cls(rows, pairs, np.zeros(spare, dtype=np.uint64))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the tables of all pairs of blocks."""
        return len(self.pairs), side(), side()

    def spread(self, sums: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Return the tables ``(runs, k, k)``, given those of the pairs of blocks."""
        count = len(self.rows) + len(self.padding)
        blocks = count // side()
        whole = np.zeros((len(sums), blocks, blocks, side(), side()))
        one, other = self.pairs.T
        whole[:, other, one] = sums.swapaxes(-1, -2)
        whole[:, one, other] = sums
        square = whole.swapaxes(2, 3).reshape(len(sums), count, count)
        tables = np.zeros((len(sums), k, k))
        tables[:, self.rows[:, None], self.rows] = square[:, : len(self.rows), : len(self.rows)]
        return tables
