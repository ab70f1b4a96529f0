"""Centred clipping: move from the last output by clipped differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from varangian.core.checks import check_count, check_number
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.iterative import IterativeRule
from varangian.core.needs import Pivot
from varangian.core.spans import Span


@dataclass(frozen=True)
class CenteredClipping(IterativeRule):
    """Return v + mean_i (x_i - v) min(1, radius / |x_i - v|), ``steps`` times, v being the last output.

    Shape       (*batch, n, d) -> (*batch, d)
    State       the last output; the origin at first
    Condition   n >= 2f + 1 (with weights: liars hold less than half)
    Guarantee   moves at most ``radius`` a step; no kappa proven
    Cost        one read for the distances, one to average; O(n^2) a step
    Units       radius in those of the vectors
    Reference   Karimireddy et al., ICML 2021

    >>> import torch
    >>> CenteredClipping(f=1, radius=1.0)(torch.tensor([[0.5], [0.7], [9e9]]))
    tensor([0.7333])
    """

    f: int
    radius: float
    steps: int = 1

    pivots = (Pivot.CARRIED,)
    weighted = True
    short_names = ("cc",)
    guarantee: ClassVar[str] = "moves at most the radius a step"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "Sai Praneeth Karimireddy, Lie He, Martin Jaggi",
        "Learning from History for Byzantine Robust Optimization",
        "ICML",
        2021,
        "https://proceedings.mlr.press/v139/karimireddy21a.html",
    )

    def validate(self) -> None:
        """Refuse a radius that is not positive, or no steps."""
        check_number(self, "radius", self.radius)
        check_count(self, "steps", self.steps, least=1)

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def solve(self, span: Span, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "runs k"]:
        """Return the weights of the vectors, and last that of the carried output."""
        weights = np.zeros_like(span.stretch)
        weights[:, -1] = 1.0
        for _ in range(self.steps):
            distance = np.sqrt(span.squared_distances(weights)[:, :-1])
            pull = shares * (self.radius / np.maximum(distance, self.radius))
            weights *= 1 - pull.sum(-1, keepdims=True)
            weights[:, :-1] += pull
        return weights
