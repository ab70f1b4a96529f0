"""Divide and conquer: drop what projects most on the top direction of random subsets of coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from varangian.core.checks import check_count, check_number
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import MANIPULATING
from varangian.core.randomness import Stream
from varangian.core.selection import lowest, mean_over
from varangian.core.stages import SubsampledRule
from varangian.kernels.products import product, top_of

ROUNDING = 1e-12
"""Parts of the largest by which two projections may differ and count as one: those of copies do."""


@dataclass(frozen=True)
class DnC(SubsampledRule):
    """Return the mean of the vectors that every one of ``iterations`` spectral filters keeps.

    Each draws ``coordinates`` of them, centres the vectors there, and drops the int(c f) with the largest
    squared projection on the top singular direction. Where no vector survives all filters, those that
    survive most are averaged. A liar far out in a direction of its own drags the mean towards itself, and may
    so project less than an honest vector: mix with nearest neighbours first where liars need not agree.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1 and n > c f
    Guarantee   none proven as kappa
    Cost        the distances on the subsets, beside a mixer's in front; one read to average
    Randomness  the subsets, from the call's stream
    Reference   Shejwalkar and Houmansadr, NDSS 2021

    >>> DnC(f=1)(torch.tensor([[0.0], [1.0], [2.0], [9e6]]))
    tensor([1.])
    """

    f: int
    iterations: int = 3
    coordinates: int = 10_000
    c: float = 1.0

    cost: ClassVar[str] = "one read and the subsets"
    reference: ClassVar[Reference] = MANIPULATING

    def validate(self) -> None:
        """Refuse no iterations, no coordinates, or a c below one, which would keep a liar."""
        check_count(self, "iterations", self.iterations, least=1)
        check_count(self, "coordinates", self.coordinates, least=1)
        check_number(self, "c", self.c, least=1.0)

    def condition(self) -> Condition:
        """Return n >= 2f + 1, and more vectors than are dropped."""
        dropped = int(self.c * self.f)
        if dropped > 2 * self.f:
            return Condition(dropped + 1, "n >= c f + 1")
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def subsets(self, d: int, stream: Stream) -> Int[Tensor, "s c"]:
        """Return a random subset of the coordinates per iteration, in order."""
        count = min(d, self.coordinates)
        drawn = [stream.at("subset", iteration=i).chosen(d, count) for i in range(self.iterations)]
        return torch.from_numpy(np.sort(drawn))

    def weights(self, distances: Float[Tensor, "*batch s n n"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the survivors of every filter."""
        n = distances.shape[-1]
        rows = distances.mean(-1)
        centred = 0.5 * (rows[..., :, None] + rows[..., None, :] - rows.mean(-1)[..., None, None] - distances)
        scale = centred.abs().amax((-2, -1), keepdim=True)
        centred = centred / torch.where(scale > 0, scale, 1.0)
        _, top = top_of(centred)
        projections = _without_rounding(product(centred, top[..., None])[..., 0].square())
        kept = lowest(projections, n - int(self.c * self.f)).sum(-2)
        return mean_over(kept == kept.amax(-1, keepdim=True))


def _without_rounding(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Return the places of values in their order, one for those that only rounding tells apart."""
    ordered, order = values.sort(dim=-1)
    apart = ordered.diff(dim=-1) > ROUNDING * ordered[..., -1:]
    places = torch.nn.functional.pad(apart.cumsum(-1), (1, 0)).to(values.dtype)
    return torch.empty_like(values).scatter(-1, order, places)
