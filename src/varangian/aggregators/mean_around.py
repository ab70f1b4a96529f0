"""Means of the values nearest to a robust centre: MeaMed and Phocas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import GENERALIZED
from varangian.core.stages import CoordinateRule
from varangian.errors import ParameterError
from varangian.kernels.programs import Middle, Nearest, Trimmed


@dataclass(frozen=True)
class MeanAroundMedian(CoordinateRule):
    """Return, per coordinate, the mean of the values nearest the median, ``drop`` (default f) left out.

    Of two values as near, the lower is kept. ``as_released`` takes the lower median of an even number.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   variance bound 1 / sqrt(10 (n - f)) (recalled); no kappa proven
    Cost        one read, a sorting network per column
    Reference   Xie et al., arXiv 2018

    >>> import torch
    >>> MeanAroundMedian(f=1)(torch.tensor([[1.0], [2.0], [4.0], [9e9]]))
    tensor([2.3333])
    """

    f: int
    drop: int | None = None
    as_released: bool = False

    short_names = ("meamed",)
    guarantee: ClassVar[str] = "variance bound"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = GENERALIZED

    def validate(self) -> None:
        """Refuse a negative ``drop``, or one below f."""
        if self.drop is not None:
            check_count(self, "drop", self.drop, least=0)
            if self.drop < self.f:
                raise ParameterError(
                    f"MeanAroundMedian(f={self.f}, drop={self.drop}): drop must be at least f."
                )

    def condition(self) -> Condition:
        """Return n >= 2f + 1, and more where more than 2f values are dropped."""
        dropped = self.drop or 0
        if dropped > 2 * self.f:
            return Condition(dropped + 1, "n >= drop + 1")
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(10 (n - f)) (recalled)."""
        return 1 / math.sqrt(10 * (n - self.f))

    def program(self, n: int) -> Nearest:
        """Return the mean around the middle of every sorted column."""
        return Nearest(self.f if self.drop is None else self.drop, Middle(lower=self.as_released))


@dataclass(frozen=True)
class Phocas(CoordinateRule):
    """Return, per coordinate, the mean of the n - f values nearest the trimmed mean.

    Of two values as near, the lower is kept.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   variance bound (recalled); no kappa proven
    Cost        one read, a sorting network per column
    Reference   Xie et al., arXiv 2018

    >>> import torch
    >>> Phocas(f=1)(torch.tensor([[1.0], [2.0], [4.0], [9e9]]))
    tensor([2.3333])
    """

    f: int

    guarantee: ClassVar[str] = "variance bound"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = Reference(
        "Cong Xie, Oluwasanmi Koyejo, Indranil Gupta",
        "Phocas: Dimensional Byzantine-Resilient Stochastic Gradient Descent",
        "arXiv",
        2018,
        "https://arxiv.org/abs/1805.09682",
    )

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(4 + 12 (f + 1) (n - f) / (n - 2f)^2) (recalled)."""
        f = self.f
        return 1 / math.sqrt(4 + 12 * (f + 1) * (n - f) / (n - 2 * f) ** 2)

    def program(self, n: int) -> Nearest:
        """Return the mean around the trimmed mean of every sorted column."""
        return Nearest(self.f, Trimmed(self.f))
