"""How far what a program makes of several mixtures of rows lies from one row: all of them in one read.

A tile of the rows is taken once, and each mixture is made, reduced and measured there. Everything is float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from varangian.kernels.columns import network_of
from varangian.kernels.combine import column_step, grouped
from varangian.kernels.compiled.combine import TOGETHER, combine
from varangian.kernels.compiled.distances import PANEL, pairs, side
from varangian.kernels.compiled.tasks import Stretch, carry_out, scratch, stretches
from varangian.kernels.compiled.tiles import PITCH, Step, run
from varangian.kernels.places import Places
from varangian.kernels.programs import Program
from varangian.kernels.rows import Rows

ROW = 8 * PITCH
"""Bytes of a row of a tile."""


class Mixture(NamedTuple):
    """The sums that are no rows as they are, and what each point is: a row, or after all rows a sum."""

    weights: NDArray[np.float64]
    sums: int
    points: NDArray[np.intp]

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> Mixture:
        """Return what weights ``(m, k)`` ask for; equal sums are made once."""
        plain = ((weights != 0).sum(1) == 1) & (weights.max(1) == 1)
        first: dict[bytes, int] = {}  # of many small tables; NumPy's unique takes longer than all the rest
        which = [first.setdefault(row.tobytes(), len(first)) for row in weights[~plain]]
        distinct = np.frombuffer(b"".join(first)).reshape(-1, weights.shape[1])
        points = weights.argmax(1)
        points[~plain] = weights.shape[1] + np.array(which, dtype=np.intp)
        return cls(grouped(distinct), len(distinct), points)


def deviations(
    program: Program, rows: Rows, mixes: Float[torch.Tensor, "c *batch m k"], base: int
) -> Float[torch.Tensor, "c *batch"]:
    """Return the squared distance of every mixture's result from the row ``base``; reads once.

    A mixture is of the rows and then the extras.
    """
    rows.reads += 1
    count, m = len(mixes), mixes.shape[-2]
    tables = mixes.expand(count, *rows.batch, *mixes.shape[-2:]).reshape(count, rows.batch_size, m, -1)
    mixtures = [[Mixture.of(one) for one in of_run] for of_run in tables.double().cpu().numpy()]
    places, k = Places(rows), mixes.shape[-1]
    kernel = network_of(program, m, "float64")
    most = max(len(one.weights) for of_run in mixtures for one in of_run) * TOGETHER

    def work(part: Stretch) -> NDArray[np.float64]:
        tile = scratch(ROW * (k + most + side()) + kernel.room)
        sums, block = tile + ROW * k, tile + ROW * (k + most)
        load, _ = places.load(part, np.arange(k), "double", tile)
        aim, _ = places.load(part, np.array([-1, base, *[-1] * (side() - 2)]), "double", block)
        gaps = np.zeros((count, -(-(part.stop - part.start) // PANEL), 1, side(), side()))
        steps = [load, aim]
        for of_run, gap in zip(mixtures, gaps, strict=True):
            mixture = of_run[part.run]
            if mixture.sums:
                groups = len(mixture.weights)
                steps.append(Step.of(combine("double"), mixture.weights, groups, k, tile, sums))
            lines = (tile + ROW * mixture.points).astype(np.uint64)
            steps += [
                column_step(kernel, lines, block, block + ROW * side()),
                Step.of(pairs("double"), np.zeros((1, 2), np.int64), 1, block, gap, part.start),
            ]
        run(steps, part.start, part.stop)
        apart: NDArray[np.float64] = gaps[:, :, 0, 0, 1]
        return apart

    total = np.zeros((count, rows.batch_size))
    parts = list(stretches(rows, [PANEL] * len(rows.segments)))
    for part, gaps in zip(parts, carry_out(work, parts, rows.n), strict=True):
        for gap in gaps.T:
            total[:, part.run] += gap
    return torch.from_numpy(total).view(count, *rows.batch)
