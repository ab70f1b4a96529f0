"""The coordinate-wise trimmed mean, by count or by weight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import COORDINATE_WISE
from varangian.core.parties import Parties
from varangian.core.stages import CoordinateRule
from varangian.kernels.programs import Trimmed


@dataclass(frozen=True)
class TrimmedMean(CoordinateRule):
    """Return the mean of every coordinate without its f lowest and f highest values.

    With weights, the mass that liars may hold is trimmed from either end instead; the value on the
    boundary keeps the rest of its weight.

    With ``missing``, what did not arrive (marked by NaN, or infinite) is left out, coordinate by coordinate,
    and f are trimmed from either end of what is there; where no more than 2f values are there, the result is
    0: no step. That and weights exclude each other.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   (f, kappa)-robust with kappa = 6 r (1 + r), r = f / (n - 2f) (recalled)
    Cost        one read, a sorting network per column
    Reference   Yin et al., ICML 2018

    >>> import torch
    >>> TrimmedMean(f=1)(torch.tensor([[1.0], [2.0], [3.0], [9e9]]))
    tensor([2.5000])
    >>> TrimmedMean(f=1, missing=True)(torch.tensor([[1.0], [2.0], [torch.nan], [9e9]]))
    tensor([2.])
    """

    f: int
    missing: bool = False

    weighted = True
    short_names = ("trmean", "cwtm")
    guarantee: ClassVar[str] = "kappa = 6 r (1 + r), r = f/(n-2f)"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = COORDINATE_WISE

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def kappa(self, n: int) -> float:
        """Return 6 r (1 + r) with r = f / (n - 2f)."""
        r = self.f / (n - 2 * self.f)
        return 6 * r * (1 + r)

    def variance_bound(self, n: int, d: int) -> float:
        """Return (n - 2f) / sqrt(2 (f + 1) (n - f)) (recalled)."""
        return (n - 2 * self.f) / math.sqrt(2 * (self.f + 1) * (n - self.f))

    def program(self, n: int) -> Trimmed:
        """Return the mean of what is left of every sorted column."""
        return Trimmed(self.f)

    def columns(
        self, values: Float[Tensor, "*batch n c"], parties: Parties | None = None
    ) -> Float[Tensor, "*batch c"]:
        """Return the same, or the mean of what is left when mass is trimmed."""
        return super().columns(values) if parties is None else _trim_mass(values, parties)


def _trim_mass(values: Tensor, parties: Parties) -> Tensor:
    ordered, order = values.sort(dim=-2, stable=True)
    shares = parties.shares.to(values.device)[order]
    above = shares.cumsum(-2)
    low, high = parties.mass, 1 - parties.mass
    kept = (above.clamp(max=high) - (above - shares).clamp(min=low)).clamp(min=0.0)
    return (kept * ordered.double()).sum(-2) / kept.sum(-2)
