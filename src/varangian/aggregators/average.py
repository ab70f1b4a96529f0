"""The mean, which a single liar controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.needs import Reads
from varangian.core.parties import Parties
from varangian.core.points import Points
from varangian.core.run import Call
from varangian.core.stages import GeometricRule
from varangian.kernels.missing import mean


@dataclass(frozen=True)
class Average(GeometricRule):
    """Return the mean of the vectors, weighted if weights are given. Not robust: NaN passes through.

    With ``missing``, what did not arrive (marked by NaN, or infinite) is left out, coordinate by coordinate:
    the mean is that of what is there, or 0 where nothing is.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 1
    Guarantee   none for f >= 1
    Cost        one read
    Reference   McMahan et al., AISTATS 2017

    >>> Average()(torch.tensor([[1.0], [2.0], [6.0]]))
    tensor([3.])
    >>> Average(missing=True)(torch.tensor([[1.0], [2.0], [torch.nan]]))
    tensor([1.5000])
    """

    f: int | None = None
    missing: bool = False

    reads = Reads.NOTHING
    weighted = True
    robust = False
    short_names = ("mean",)
    guarantee: ClassVar[str] = "none: one liar decides"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = Reference(
        "Brendan McMahan, Eider Moore, Daniel Ramage, Seth Hampson, Blaise Agüera y Arcas",
        "Communication-Efficient Learning of Deep Networks from Decentralized Data",
        "AISTATS",
        2017,
        "https://proceedings.mlr.press/v54/mcmahan17a.html",
    )

    def condition(self) -> Condition:
        """Return n >= f + 1."""
        return Condition((self.f or 0) + 1, "n >= f + 1" if self.f else "n >= 1")

    def kappa(self, n: int) -> float | None:
        """Return 0 without faults; with any, no coefficient exists."""
        return None if self.f else 0.0

    def weights(
        self, distances: Float[Tensor, "*batch n n"], parties: Parties | None = None
    ) -> Float[Tensor, "*batch n"]:
        """Return the parties' shares, equal ones if none are given."""
        equal = torch.full_like(distances[..., 0], 1 / distances.shape[-1])
        return equal if parties is None else parties.shares.expand_as(equal)

    def advance(self, points: Points, call: Call) -> Points:
        """Return the one mean point, of what is there if some may be missing."""
        if not self.missing:
            return super().advance(points, call)
        shares = None if call.parties is None else call.parties.shares
        return points.reduced(lambda values, _: mean(values, shares))
