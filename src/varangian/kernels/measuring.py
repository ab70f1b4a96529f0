"""Tables of squared distances between rows that lie in memory, by compiled code.

Differences and squares are taken in float32 and added up in float64 from tile to tile; of float64 rows, and
of short ones, everything is float64. What float32 turns out to be too narrow for is measured again in
float64. The value of a pair depends on nothing but the two rows: not on the others, the batch, or the
threads; but on a card it may be told by way of a centre that is made of others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.columns import network_of
from varangian.kernels.combine import WORKING, column_room, column_step, few, shares_of
from varangian.kernels.compiled.distances import LONG, PANEL, Ahead, pairs
from varangian.kernels.compiled.tasks import Scratch, Stretch, carry_out, stretches
from varangian.kernels.compiled.tiles import BYTES, TILE, Step, run
from varangian.kernels.cuda.distances import distances
from varangian.kernels.cuda.tables import readable as on_a_card
from varangian.kernels.cuda.written import serves
from varangian.kernels.eager import LONGEST_NETWORK
from varangian.kernels.places import Places, readable
from varangian.kernels.plans import Pairs, Plan
from varangian.kernels.programs import Program
from varangian.kernels.rows import FEW, Rows
from varangian.kernels.shares import ROW, lines

TOO_SMALL = 1e-30
"""Per column: a smaller squared distance in float32 may have lost digits to what counted as zero."""

PERIOD = 1 << 16
"""Bytes after which memory comes to lie in the same places of the second cache."""

WAYS = 4
"""Rows whose tiles, and the next, find room in the same places."""

Besides = int | None | Program
"""A pivot: the place of one of the extras, None for the origin, or a program on the columns of the points."""


def measurable(rows: Rows, pivots: Sequence[Besides] = (), *, sums: int | None = None) -> bool:
    """Tell whether kernels can measure these rows, or so many sums of them, and the pivots beside them."""
    programs = any(isinstance(pivot, Program) for pivot in pivots)
    if serves(rows.device):
        return sums is None and not programs and on_a_card(rows)
    short = not programs or (rows.n if sums is None else sums) <= LONGEST_NETWORK
    return short and readable(rows) and rows.sanitise


def coarse(rows: Rows) -> bool:
    """Tell whether differences of these rows are squared in float32: 8 digits are left, 6 on a card."""
    return rows.d >= FEW and any(segment.sample.dtype != torch.float64 for segment in rows.segments)


def measured(
    rows: Rows,
    pivots: Sequence[Besides] = (),
    *,
    all_pairs: bool = True,
    mix: Float[Tensor, "*batch m n"] | None = None,
) -> Float[Tensor, "*batch k k"]:
    """Return the squared distances between the rows (or sums of them, as mixed), then the pivots.

    They are NaN between rows unless wanted, or there anyway.
    """
    if serves(rows.device):
        return distances(rows, [p for p in pivots if not isinstance(p, Program)], all_pairs=all_pairs)
    rows.reads += 1
    look = _Look(rows, pivots, mix)
    k = look.m + len(pivots)
    wanted = np.ones((k, k), dtype=bool)
    wanted[: look.m, : look.m] = all_pairs
    tables, counts = look.at(wanted, range(rows.batch_size))
    for place, found in enumerate(counts):
        if found.any():
            rows.count(place, torch.from_numpy(found))
    if not all(map(look.double, range(len(rows.segments)))):
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
    return look.whole or bool(np.any(left, axis=1)[: look.m].all())


class _Look:
    """Measures any pairs of the points, which are the rows or sums of them, and of the pivots after them."""

    def __init__(self, rows: Rows, pivots: Sequence[Besides], mix: Tensor | None) -> None:
        self.rows = rows
        self.m = rows.n if mix is None else mix.shape[-2]
        self.places = Places(rows)
        origin = rows.n + len(rows.extras)
        self.below = np.array([rows.n + p if isinstance(p, int) else origin for p in pivots], dtype=np.intp)
        self.programs = [(place, p) for place, p in enumerate(pivots, self.m) if isinstance(p, Program)]
        self.shares = None if mix is None else shares_of(rows, mix)
        self.whole = mix is not None or bool(self.programs)
        self.spoilt = False

    def double(self, segment: int, *, careful: bool = False) -> bool:
        """Tell whether a segment is worked with in float64."""
        wide = self.rows.segments[segment].sample.dtype == torch.float64
        return careful or wide or self.shares is not None or self.rows.d < FEW

    def at(
        self, wanted: Pairs, runs: Sequence[int], *, careful: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the distances ``(runs, k, k)`` of the wanted pairs, NaN elsewhere, and what is not finite.

        If careful, everything is float64. Each row that is needed is read once, but for a stretch in which
        something turns out not to be finite.
        """
        plan = Plan.of(wanted, whole=self.whole)
        each = few(self.rows, len(wanted))
        parts = list(stretches(self.rows, [PANEL] * len(self.rows.segments), runs, each=each))
        made = carry_out(lambda part: self._part(plan, part, careful), parts, self.rows.n)
        panels: dict[int, list[NDArray[np.float64]]] = {run: [np.zeros((1, *plan.shape))] for run in runs}
        counts = {run: np.zeros(self.rows.n, dtype=np.int64) for run in runs}
        for part, (of_part, more) in zip(parts, made, strict=True):
            panels[part.run].append(of_part)
            counts[part.run] += more
        sums = [np.concatenate(of_run).sum(0) for of_run in panels.values()]  # in order
        tables = plan.spread(np.reshape(sums, (len(runs), *plan.shape)), len(wanted))
        found = np.array([*counts.values()], dtype=np.int64).reshape(len(runs), self.rows.n)
        return np.where(wanted, tables, np.nan), found

    def _part(
        self, plan: Plan, part: Stretch, careful: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the tables of the panels of a stretch, and what is not finite in it."""
        kind = "double" if self.double(part.segment, careful=careful) else "float"
        tables = np.zeros((-(-(part.stop - part.start) // PANEL), *plan.shape))
        start = self._where_they_lie(plan, part, tables) if kind == "float" else part.start
        if start == part.stop:
            return tables, np.zeros(self.rows.n, dtype=np.int64)
        kernels = [(place, network_of(program, self.m, WORKING[kind])) for place, program in self.programs]
        share = None if self.shares is None else self.shares[part.run]
        room = ROW * (self.m + len(self.below)) + (share.room if share else 0)
        more = max((column_room(kernel, self.m) for _, kernel in kernels), default=0)
        with Scratch(room + more) as tile:
            if share is None:
                chosen = self._chosen(plan)
                load, counts = self.places.load(part, chosen, kind, tile, asks=False)
                steps, points = [load], lines(kind, tile, np.arange(len(chosen)))
            else:
                chosen = share.rows
                load, counts = self.places.load(part, chosen, kind, tile)
                sums, made, free = share.steps(kind, tile)
                besides, _ = self.places.load(part, self.below, kind, free)
                steps = [load, *sums, besides]
                points = np.append(share.points(kind, made), lines(kind, free, np.arange(len(self.below))))
            for place, kernel in kernels:
                steps.append(column_step(kernel, kind, points[: self.m], int(points[place]), tile + room))
            steps.append(self._pairs(plan, part, kind, tables, points))
            run(steps, start, part.stop)
        return tables, self.places.found(chosen, counts)

    def _where_they_lie(self, plan: Plan, part: Stretch, tables: NDArray[np.float64]) -> int:
        """Measure whole tiles without taking them, to the same bits; return how far that went.

        Nowhere if rows must be made or converted first, if too many would share places of the cache, or if a
        distance is not finite: then a number may not be, and has to be counted. Once that has been so in any
        stretch, it is not tried again.
        """
        stop = part.start + (part.stop - part.start) // TILE * TILE
        made = self.shares is not None or bool(self.programs)
        if made or self.spoilt or self.places.element(part) != "float32":
            return part.start
        rows = self.places.of(part, self._chosen(plan))
        if stop == part.start or len(rows) < 2 or not rows.all() or _crowded(rows):
            return part.start
        run([self._pairs(plan, part, "float", tables)], part.start, stop, LONG)
        if np.isfinite(tables).all():
            return stop
        tables[:], self.spoilt = 0, True
        return part.start

    def _pairs(
        self,
        plan: Plan,
        part: Stretch,
        kind: str,
        tables: NDArray[np.float64],
        points: NDArray[np.uint64] | None = None,
    ) -> Step:
        """Return the step that measures points in a tile, or else rows where they lie."""
        if points is not None and (self.shares is not None or not len(plan.pairs)):
            return Step.of(pairs(kind, plan.last), plan.pairs, plan.counts, points, 0, tables, part.start)
        rows = self.places.of(part, self._chosen(plan))
        taken, moves = (rows, 1) if points is None else (points, 0)
        given = (plan.pairs, plan.counts, taken, moves, tables, part.start)
        ahead = Ahead(self.places.element(part), -(-len(rows) // len(plan.pairs)))
        return Step.of(pairs(kind, plan.last, ahead), *given, rows, len(rows))

    def _chosen(self, plan: Plan) -> NDArray[np.intp]:
        """Return which rows, extras, and origins a plan takes."""
        return np.append(np.arange(self.m), self.below)[plan.rows]


def _crowded(where: NDArray[np.uint64]) -> bool:
    """Tell whether tiles of rows that begin there would drive each other out of the second cache."""
    size = TILE * BYTES["float"]
    places = np.bincount((where % PERIOD // size).astype(np.intp))
    return int(places.max()) > WAYS
