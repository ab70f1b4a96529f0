"""The geometric median (RFA), by Weiszfeld's iteration on the n x n table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.parties import Parties
from varangian.core.spans import Span
from varangian.core.stages import IterativeRule, check_count, check_number

ROUNDING = 1e-12


@dataclass(frozen=True)
class GeometricMedian(IterativeRule):
    """Return the point whose sum of (weighted) distances to the vectors is least.

    With ``nu`` = 0 the exact minimiser: a vector if one is optimal, else Weiszfeld's iteration to
    ``tolerance``, in at most ``steps`` steps. With ``nu`` > 0 the smoothed iteration of the paper: from the
    mean, exactly ``steps`` steps, no distance counted below nu: a huge outlier may not have lost its pull by
    the last of them.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1 (with weights: liars hold less than half)
    Guarantee   (f, kappa)-robust with kappa = 4 (1 + f / (n - 2f))^2 (recalled), for nu = 0
    Cost        one read for the distances, one to average; O(n^2) a step, O(n^4) to test the vectors
    Units       nu in those of the vectors; tolerance relative to the median distance
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
        optimal = _optimal_vectors(span, shares)
        found = optimal.any(-1, keepdim=True)
        first = torch.nn.functional.one_hot(optimal.double().argmax(-1), optimal.shape[-1]).double()
        return torch.where(found, first, self._iterated(span, shares, found))

    def _smoothed(self, span: Span, shares: Tensor) -> Tensor:
        weights = shares
        for _ in range(self.steps):
            pull = shares / span.squared_distances(weights).sqrt().clamp(min=self.nu)
            weights = pull / pull.sum(-1, keepdim=True)
        return weights

    def _iterated(self, span: Span, shares: Tensor, done: Tensor) -> Tensor:
        """Iterate every problem that is not done to the tolerance, each stopping by itself."""
        lengths = torch.diagonal(span.products, dim1=-2, dim2=-1).sqrt() * span.stretch
        weights = shares
        for _ in range(self.steps):
            if bool(done.all()):
                break
            distance = span.squared_distances(weights).sqrt()
            typical = distance.median(-1, keepdim=True).values
            pull = shares / distance.clamp(min=torch.finfo(distance.dtype).tiny)
            following = pull / pull.sum(-1, keepdim=True)
            moved = ((following - weights).abs() * lengths).sum(-1, keepdim=True)
            weights = torch.where(done, weights, following)
            done = done | (moved <= self.tolerance * typical)
        return weights


def _optimal_vectors(span: Span, shares: Tensor) -> Tensor:
    """Mark the vectors that minimise: the pull of all others does not exceed their own weight."""
    n = shares.shape[-1]
    products, stretch = span.products, span.stretch
    optimal = torch.zeros_like(shares, dtype=torch.bool)
    for k in range(n):
        ratio = stretch[..., k : k + 1] / stretch
        cross = products[..., k, :]
        own = products[..., k, k, None, None]
        between = (
            products
            - ratio[..., None, :] * cross[..., :, None]
            - ratio[..., :, None] * cross[..., None, :]
            + ratio[..., None, :] * ratio[..., :, None] * own
        )
        square = torch.diagonal(between, dim1=-2, dim2=-1)
        apart = square > 0
        pull = torch.where(apart, shares / torch.where(apart, square, 1.0).sqrt(), 0.0)
        force = (pull[..., None, :] @ between @ pull[..., :, None])[..., 0, 0].clamp(min=0.0).sqrt()
        here = torch.where(apart, 0.0, shares).sum(-1)
        optimal[..., k] = (force <= here * (1 + ROUNDING)) & (stretch[..., k] == 1)
    return optimal
