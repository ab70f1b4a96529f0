"""Rules whose weights depend on themselves: they are planned on a span of the points."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.parties import Parties
from varangian.core.points import Points
from varangian.core.run import Call
from varangian.core.spans import Drawing, Numbers, Span, one_by_one
from varangian.core.stages import GeometricRule


class IterativeRule(GeometricRule):
    """A geometric rule whose weights depend on themselves, so that tiny weights meet huge distances.

    Where the table spans too many orders of magnitude, far points are drawn nearer to the most central
    one and measured again, so that rounding has nothing left to decide.
    """

    @abstractmethod
    def solve(self, span: Span, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "runs w"]:
        """Return the weights, given the span of the points, then of the pivots, and the points' shares."""

    def weights(
        self, distances: Float[Tensor, "*batch k k"], parties: Parties | None = None
    ) -> Float[Tensor, "*batch w"]:
        """Return the weights planned on a table that does not span too much."""
        shares = self._shares(distances.shape[-1] - len(self.pivots), parties)
        drawing = Drawing.of(one_by_one(distances), shares)
        return self._solved(distances, replace(drawing, factors=np.ones_like(drawing.factors)), shares)

    def advance(self, points: Points, call: Call) -> Points:
        """Return the one combined point."""
        table = points.table(self.reads, self.pivots)
        shares = self._shares(points.m, call.parties)
        drawing = Drawing.of(one_by_one(table), shares)
        if drawing.needed:
            factors = torch.from_numpy(drawing.factors).view(table.shape[:-1])
            centre = torch.from_numpy(drawing.centre).view(table.shape[:-2])
            table = points.drawn(centre, factors[..., : points.m]).table(self.reads, self.pivots)
        return points.combined(self._solved(table, drawing, shares), self.pivots)

    def _solved(self, table: Float[Tensor, "*batch k k"], drawing: Drawing, shares: Numbers) -> Tensor:
        """Return the weights, given the table of the points as they were drawn."""
        with np.errstate(all="ignore"):  # what is not finite is tried, and not taken
            weights = torch.from_numpy(self.solve(Span.of(one_by_one(table), drawing), shares))
        return weights.view(*table.shape[:-2], weights.shape[-1]).to(table.device)

    def _shares(self, m: int, parties: Parties | None) -> Numbers:
        return np.full(m, 1 / m) if parties is None or not self.weighted else parties.shares.numpy()
