"""The geometric median (RFA), found in the span of the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from varangian.aggregators.balance import Descent, optimal_vectors, rise
from varangian.core.checks import check_count, check_number
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.iterative import IterativeRule
from varangian.core.spans import Numbers, Span

ROUNDING = 4 * np.finfo(np.float64).eps
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

    >>> import torch
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

    def solve(self, span: Span, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "runs n"]:
        """Return the weights of the minimiser."""
        if self.nu:
            return self._smoothed(span, shares)
        rises = rise(span, shares)
        descent = Descent(span, rises.argmin(-1), shares)
        if descent.below.all():
            return descent.balanced(self.steps, self.tolerance)
        optimal = optimal_vectors(span, shares, rises) & ~descent.below[:, None]
        found, weights = optimal.any(-1), _midpoint(span, optimal)
        if not found.all():
            weights[~found] = descent.balanced(self.steps, self.tolerance)[~found]
        return weights

    def _smoothed(self, span: Span, shares: Numbers) -> Numbers:
        weights = np.broadcast_to(shares, span.stretch.shape)
        rests: NDArray[np.bool_] = np.zeros((len(weights), 1), dtype=np.bool_)
        for _ in range(self.steps):
            pull = shares / np.maximum(np.sqrt(span.squared_distances(weights)), self.nu)
            moved = np.where(rests, weights, pull / pull.sum(-1, keepdims=True))
            rests = np.all(np.abs(moved - weights) <= ROUNDING * weights, axis=-1, keepdims=True)
            weights = moved
            if rests.all():
                break
        return weights


def _midpoint(span: Span, optimal: Bool[np.ndarray, "runs n"]) -> Float[np.ndarray, "runs n"]:
    """Return equal weights for the two optimal vectors farthest apart, mostly one and the same."""
    runs, place = np.arange(len(optimal)), optimal.argmax(-1)
    weights = np.zeros_like(span.stretch)
    for _ in range(2):
        place = np.where(optimal, span.table[runs, place], -1.0).argmax(-1)
        weights[runs, place] += 0.5
    return weights
