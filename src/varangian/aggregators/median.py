"""The coordinate-wise median."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import COORDINATE_WISE
from varangian.core.stages import CoordinateRule
from varangian.kernels.programs import Middle


@dataclass(frozen=True)
class Median(CoordinateRule):
    """Return the median of every coordinate; of an even number, the mean of the two middle values.

    ``as_released`` takes the lower of the two, as the first authors' code did.

    With ``missing``, what did not arrive (marked by NaN, or infinite) is left out, coordinate by coordinate;
    where no more than 2f values are there, liars could be half of them, and the result is 0: no step.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   (f, kappa)-robust with kappa = 4 (1 + f / (n - 2f))^2 (recalled)
    Cost        one read, a sorting network per column
    Reference   Yin et al., ICML 2018

    >>> import torch
    >>> Median(f=1)(torch.tensor([[1.0], [2.0], [9e9]]))
    tensor([2.])
    >>> Median(f=1, missing=True)(torch.tensor([[1.0], [2.0], [9e9], [torch.nan]]))
    tensor([2.])
    """

    f: int
    as_released: bool = False
    missing: bool = False

    guarantee: ClassVar[str] = "kappa = 4 (1 + f/(n-2f))^2"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = COORDINATE_WISE

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def kappa(self, n: int) -> float:
        """Return 4 (1 + f / (n - 2f))^2."""
        return 4 * (1 + self.f / (n - 2 * self.f)) ** 2

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(n - f)."""
        return 1 / math.sqrt(n - self.f)

    def program(self, n: int) -> Middle:
        """Return the middle of every sorted column."""
        return Middle(lower=self.as_released)
