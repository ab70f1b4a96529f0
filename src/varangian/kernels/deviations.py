"""How far what a program makes of several mixtures of rows lies from their mean: all of them in one read.

A tile of the rows is taken once, and each mixture is made, reduced and measured there. What the mixtures have
in common is made once. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from varangian.kernels.columns import network_of
from varangian.kernels.combine import column_room, column_step, few
from varangian.kernels.compiled.combine import TOGETHER, combine, shifted
from varangian.kernels.compiled.distances import PANEL, pairs
from varangian.kernels.compiled.tasks import Scratch, Stretch, carry_out, stretches
from varangian.kernels.compiled.tiles import Step, run
from varangian.kernels.places import Places
from varangian.kernels.plans import Plan
from varangian.kernels.programs import Program
from varangian.kernels.rows import Rows
from varangian.kernels.shares import ROW, grouped, lines, told_apart

MOST_SUMS = 128
"""Sums that are in a tile at once, half a mebibyte of them, unless a single mixture is made of more."""


class Mixture(NamedTuple):
    """What each point is, by its place in the tile: a row, a sum, or after all sums one that is shifted.

    A shifted point is made from the row or sum at its ``source``, and ``shares`` of the line and of the mean.
    """

    sources: NDArray[np.intp]
    shares: NDArray[np.float64]
    points: NDArray[np.intp]


class Mixtures(NamedTuple):
    """Some mixtures one after the other, from ``first`` on, and the sums of rows that they are made of."""

    first: int
    weights: NDArray[np.float64]
    parts: list[Mixture]

    @classmethod
    def of(cls, tables: NDArray[np.float64], line: int, first: int = 0) -> Iterator[Mixtures]:
        """Yield what makes mixtures ``(c, m, k)``, of rows and last of the mean; equal sums are made once.

        In the tile, the rows come first; then a block of result, mean, and zeros; then the sums.
        """
        fixed, k = tables[..., :-1].copy(), tables.shape[-1] - 1
        fixed[..., line] = 0
        distinct, which = told_apart(fixed.reshape(-1, k))
        some = distinct != 0
        nothing, plain = ~some.any(1), (some.sum(1) == 1) & (distinct.max(1) == 1)
        sums = ~(nothing | plain)
        if sums.sum() > MOST_SUMS and len(tables) > 1:
            half = len(tables) // 2
            yield from cls.of(tables[:half], line, first)
            yield from cls.of(tables[half:], line, first + half)
            return
        weights = grouped(distinct[sums])
        places = k + TOGETHER + np.cumsum(sums) - 1
        places[plain] = distinct[plain].argmax(1)
        places[nothing] = k + TOGETHER - 1
        after = k + TOGETHER + TOGETHER * len(weights)
        parts = []
        for table, sources in zip(tables, places[which.reshape(tables.shape[:2])], strict=True):
            asked = np.column_stack([sources, table[:, [line, -1]]])
            moved = (asked[:, 1:] != 0).any(1)
            shifts, of_point = told_apart(asked[moved])
            points = sources.copy()
            points[moved] = after + of_point
            parts.append(Mixture(shifts[:, 0].astype(np.intp), np.ascontiguousarray(shifts[:, 1:]), points))
        yield cls(first, weights, parts)


def deviations(
    program: Program, rows: Rows, mixes: Float[torch.Tensor, "c *batch m k"], h: int
) -> Float[torch.Tensor, "c *batch"]:
    """Return the squared distance of every mixture's result from the mean of the first h rows; reads once.

    A mixture is of the rows, the extras, and last of that mean. It is made fastest where mixtures differ in
    their shares of the mean and of row h alone.
    """
    rows.reads += 1
    count, m, k = len(mixes), mixes.shape[-2], mixes.shape[-1] - 1
    tables = mixes.expand(count, *rows.batch, *mixes.shape[-2:]).reshape(count, rows.batch_size, m, k + 1)
    plans = [list(Mixtures.of(of_run, h)) for of_run in tables.double().cpu().numpy().swapaxes(0, 1)]
    places, kernel = Places(rows), network_of(program, m, "float64")
    most = max((TOGETHER * len(plan.weights) for of_run in plans for plan in of_run), default=0)
    mean = np.zeros((TOGETHER, k))
    mean[1, :h] = 1 / h
    two = Plan.of(np.ones((2, 2), dtype=bool), whole=False)

    def work(part: Stretch) -> NDArray[np.float64]:
        with Scratch(ROW * (k + TOGETHER + most + m) + column_room(kernel, m)) as tile:
            return work_in(tile, part)

    def work_in(tile: int, part: Stretch) -> NDArray[np.float64]:
        block, free = tile + ROW * k, tile + ROW * (k + TOGETHER + most + m)
        load, _ = places.load(part, np.arange(k), "double", tile)
        measures, both = pairs("double", two.last), lines("double", block, np.arange(2))
        centre = grouped(mean)
        steps = [load, Step.of(combine("double"), centre, len(centre), k, tile, block)]
        gaps = np.zeros((count, -(-(part.stop - part.start) // PANEL), *two.shape))
        for first, weights, parts in plans[part.run]:
            if len(weights):
                sums = block + ROW * TOGETHER
                steps.append(Step.of(combine("double"), weights, len(weights), k, tile, sums))
            made = block + ROW * (TOGETHER + TOGETHER * len(weights))
            for place, mixture in enumerate(parts, first):
                if len(mixture.sources):
                    where = lines("double", tile, mixture.sources)
                    told = (where, mixture.shares, len(where), tile + ROW * h, block + ROW)
                    steps.append(Step.of(shifted(), *told, made))
                steps += [
                    column_step(kernel, "double", lines("double", tile, mixture.points), block, free),
                    Step.of(measures, two.pairs, two.counts, both, 0, gaps[place], part.start),
                ]
        run(steps, part.start, part.stop)
        apart: NDArray[np.float64] = gaps[:, :, 0, 0, 1]
        return apart

    total = np.zeros((count, rows.batch_size))
    parts = list(stretches(rows, [PANEL] * len(rows.segments), each=few(rows, count * m)))
    for part, gaps in zip(parts, carry_out(work, parts, rows.n), strict=True):
        for gap in gaps.T:
            total[:, part.run] += gap
    return torch.from_numpy(total).view(count, *rows.batch)
