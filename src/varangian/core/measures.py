"""Tables of squared distances, measured in one read: by a kernel where there is one, or block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from varangian.core.needs import NeedsVectors, Pivot, Reads
from varangian.kernels.columns import reduced
from varangian.kernels.distances import pairwise, to_each, total
from varangian.kernels.measuring import Besides, measurable, measured
from varangian.kernels.programs import Middle
from varangian.kernels.rows import Block, Rows, within
from varangian.kernels.sampled import gathered, measured_on

if TYPE_CHECKING:
    from varangian.core.points import Points

View = Int[Tensor, " c"] | None
"""The columns that are measured on; None is all of them."""


def tables(
    points: Points, views: Iterable[View], pivots: Sequence[Pivot], level: Reads
) -> Float[Tensor, "*batch v k k"]:
    """Return the distances between the points, then the pivots, on each of the views.

    Entries above ``level`` may be NaN. They are on the CPU wherever the points are: plans are many small
    operations, and a graphics processor takes longer to begin one than a CPU to do it.

    Raises      NeedsVectors for points of no rows
    """
    if points.rows is None:
        raise NeedsVectors
    together = _Measures(list(views), pivots, level)
    pieces = (points.on(piece) for piece, _ in points.rows.pieces())
    here = total(together.nothing(points), map(together.piece, pieces))
    if points.rows.summed is None:
        return here.cpu()
    made = points.rows.summed(here).cpu()  # number by number, in orders of their own: pairs may differ
    return made.triu() + made.triu(1).mT


def unknown(points: Points, pivots: int, device: str | torch.device = "cpu") -> Float[Tensor, "*batch k k"]:
    """Return a table of the points and so many pivots in which nothing is known."""
    size = points.m + pivots
    return torch.full((*points.batch, size, size), torch.nan, dtype=torch.float64, device=device)


class _Measures:
    """What is measured together, on points in memory."""

    def __init__(self, views: Sequence[View], pivots: Sequence[Pivot], level: Reads) -> None:
        self.views, self.pivots, self.level = views, pivots, level

    def nothing(self, points: Points) -> Float[Tensor, "*batch 1 k k"]:
        """Return what the tables of no columns add up to."""
        assert points.rows is not None
        size = points.m + len(self.pivots)
        return torch.zeros(*points.batch, 1, size, size, dtype=torch.float64, device=points.rows.device)

    def piece(self, points: Points) -> Float[Tensor, "*batch v k k"]:
        """Measure, in whichever way is the fastest."""
        assert points.rows is not None
        if points.columns is not None:
            return self._in_blocks(points, self.views)
        beside = [_besides(pivot, points) for pivot in self.pivots]
        if measurable(points.rows, beside, sums=None if points.mix is None else points.m):
            by_kernel = [self._by_kernel(points.rows, view, beside, points.mix) for view in self.views]
            return torch.stack(by_kernel, dim=-3)
        return torch.cat([self._gathered(points, view) for view in self.views], dim=-3)

    def _by_kernel(self, rows: Rows, view: View, beside: Sequence[Besides], mix: Tensor | None) -> Tensor:
        how: Any = {"all_pairs": self.level is Reads.PAIRS, "mix": mix}
        return measured(rows, beside, **how) if view is None else measured_on(rows, view, beside, **how)

    def _gathered(self, points: Points, view: View) -> Float[Tensor, "*batch 1 k k"]:
        """Measure on columns that are brought together first."""
        if view is None or points.rows is None:
            return self._in_blocks(points, [view])
        few = (points.on(few) for few in gathered(points.rows, view))
        return total(self.nothing(points), (self._in_blocks(one, [None]) for one in few))

    def _in_blocks(self, points: Points, views: Sequence[View]) -> Float[Tensor, "*batch v k k"]:
        def on_each(block: Block) -> Tensor:
            return torch.stack([self._block(points, _seen(block, view)) for view in views], dim=-3)

        return total(self.nothing(points), points.over_blocks(on_each))

    def _block(self, points: Points, values: Tensor) -> Float[Tensor, "*batch k k"]:
        m = points.m
        own, below = values[..., :m, :].double(), values[..., m:, :]
        targets = [_row(pivot, own, below, points.extras) for pivot in self.pivots]
        if self.level is Reads.PAIRS:
            return pairwise(torch.cat([own, *targets], dim=-2))
        table = unknown(points, len(self.pivots), values.device)
        if targets:
            aim = torch.cat(targets, dim=-2)
            table[..., :m, m:] = to_each(own, aim)
            table[..., m:, :m] = table[..., :m, m:].mT
            table[..., m:, m:] = pairwise(aim)
        return table


def _besides(pivot: Pivot, points: Points) -> Besides:
    """Return a pivot as the kernels know it."""
    if pivot in points.extras:
        return points.extras.index(pivot)
    return Middle() if pivot is Pivot.MEDIAN else None


def _row(pivot: Pivot, own: Tensor, below: Tensor, extras: Sequence[Pivot]) -> Tensor:
    """Return a pivot as a row, of the points' own or of what stands below them."""
    if pivot is Pivot.ORIGIN:
        return torch.zeros_like(own[..., :1, :])
    if pivot is Pivot.MEDIAN:
        return reduced(Middle(), own)[..., None, :]
    place = extras.index(pivot)
    return below[..., place : place + 1, :].double()


def _seen(block: Block, view: View) -> Tensor:
    return block.values if view is None else block.values[..., within(view, block.offset, block.end)]
