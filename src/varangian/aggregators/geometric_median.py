"""The geometric median (RFA), found in the span of the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.aggregators.balance import Descent, optimal_vectors, rise
from varangian.core.checks import check_count, check_number
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.parties import Parties
from varangian.core.spans import Span
from varangian.core.stages import IterativeRule

ROUNDING = 4 * torch.finfo(torch.float64).eps
"""A relative change of a weight that is none. Relative, for a tiny weight may hold a huge vector."""


@dataclass(frozen=True)
class GeometricMedian(IterativeRule):
    """Return the point whose sum of (weighted) distances to the vectors is least.

    With ``nu`` = 0 the exact minimiser: a vector if one is optimal, else Newton's iteration until the next
    step is within ``tolerance``, in at most ``steps`` steps. Where all vectors lie on a line and a whole
    stretch of it is optimal, its midpoint. With ``nu`` > 0 the smoothed iteration of the paper: from the
    mean, ``steps`` of Weiszfeld's steps, no distance counted below nu; fewer if one changes no weight,
    relatively, by more than rounding does. A huge outlier may not have lost its pull by the last of them.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1 (with weights: liars hold less than half)
    Guarantee   (f, kappa)-robust with kappa = 4 (1 + f / (n - 2f))^2 (recalled), for nu = 0
    Cost        one read for the distances, one to average; O(n^3) a step, few of them; O(n^2) a smoothed one
    Units       nu in those of the vectors; tolerance relative to the harmonic mean distance
    Reference   Pillutla et al., IEEE TSP 2022

    >>> GeometricMedian(f=1)(torch.tensor([[0.0, 0.0], [0.0, 0.0], [9e9, 1.0]]))
    tensor([0., 0.])
    """

    f: int
    nu: float = 0.0
    steps: int = 10_000
    tolerance: float = 1e-12

    weighted = True
    short_names = ("rfa", "geomed")
    guarantee: ClassVar[str] = "kappa = 4 (1 + f/(n-2f))^2"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "Krishna Pillutla, Sham Kakade, Zaid Harchaoui",
        "Robust Aggregation for Federated Learning",
        "IEEE Transactions on Signal Processing",
        2022,
        "https://arxiv.org/abs/1912.13445",
    )

    def validate(self) -> None:
        """Refuse a negative nu or tolerance, or no steps."""
        check_number(self, "nu", self.nu, least=0.0)
        check_count(self, "steps", self.steps, least=1)
        check_number(self, "tolerance", self.tolerance)

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def kappa(self, n: int) -> float | None:
        """Return 4 (1 + f / (n - 2f))^2 for the exact minimiser."""
        return None if self.nu else 4 * (1 + self.f / (n - 2 * self.f)) ** 2

    def solve(self, span: Span, parties: Parties | None = None) -> Float[Tensor, "*batch n"]:
        """Return the weights of the minimiser."""
        shares = torch.full_like(span.stretch, 1 / span.stretch.shape[-1])
        if parties is not None:
            shares = parties.shares.expand_as(shares)
        if self.nu:
            return self._smoothed(span, shares)
        rises = rise(span, shares)
        descent = Descent(span.coordinates(rises.argmin(-1)), shares)
        if bool(descent.below.all()):
            return descent.balanced(self.steps, self.tolerance)
        optimal = optimal_vectors(span, shares, rises) & ~descent.below[..., None]
        found, weights = optimal.any(-1, keepdim=True), _midpoint(span, optimal)
        if bool(found.all()):
            return weights
        return torch.where(found, weights, descent.balanced(self.steps, self.tolerance))

    def _smoothed(self, span: Span, shares: Tensor) -> Tensor:
        weights, rests = shares, torch.zeros_like(shares[..., :1], dtype=torch.bool)
        for _ in range(self.steps):
            pull = shares / span.squared_distances(weights).sqrt().clamp(min=self.nu)
            moved = torch.where(rests, weights, pull / pull.sum(-1, keepdim=True))
            rests = ((moved - weights).abs() <= ROUNDING * weights).all(-1, keepdim=True)
            weights = moved
            if bool(rests.all()):
                break
        return weights


def _midpoint(span: Span, optimal: Bool[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Return equal weights for the two optimal vectors farthest apart, mostly one and the same."""
    n = optimal.shape[-1]
    place = optimal.double().argmax(-1)
    weights = torch.zeros_like(span.stretch)
    for _ in range(2):
        apart = torch.gather(span.table, -2, place[..., None, None].expand(*place.shape, 1, n))[..., 0, :]
        place = torch.where(optimal, apart, -1.0).argmax(-1)
        weights = weights + 0.5 * torch.nn.functional.one_hot(place, n)
    return weights
