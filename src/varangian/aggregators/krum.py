"""Krum and Multi-Krum: the vectors closest to their neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import KRUM, MULTI_BULYAN
from varangian.core.selection import lowest, mean_over
from varangian.core.stages import GeometricRule


def krum_scores(distances: Float[Tensor, "*batch n n"], neighbours: int) -> Float[Tensor, "*batch n"]:
    """Return, for each vector, the sum of the distances to its nearest ``neighbours``, itself left out."""
    return distances.sort(dim=-1).values[..., 1 : neighbours + 1].sum(-1)


def krum_variance_bound(n: int, f: int) -> float:
    """Return 1 / sqrt(2 eta), the threshold that the papers on Krum and Bulyan share."""
    eta = n - f + (f * (n - f - 2) + f**2 * (n - f - 1)) / (n - 2 * f - 2)
    return 1 / math.sqrt(2 * eta)


@dataclass(frozen=True)
class Krum(GeometricRule):
    """Return the vector closest to its n - f - 2 nearest neighbours, by the sum of squared distances.

    ``neighbours`` counts others than n - f - 2. ``as_released`` sums unsquared distances to n - f - 1
    neighbours, as the code of the ICLR'21 study did (whose "krum" is ``MultiKrum(as_released=True)``).

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 3
    Guarantee   (f, kappa)-robust with kappa = 6 (1 + f / (n - 2f)) (recalled)
    Cost        one read for the distances, one to copy; O(n^2 log n)
    Reference   Blanchard et al., NeurIPS 2017

    >>> import torch
    >>> Krum(f=1)(torch.tensor([[0.0], [0.1], [0.2], [0.3], [9e9]]))
    tensor([0.1000])
    """

    f: int
    neighbours: int | None = None
    as_released: bool = False

    guarantee: ClassVar[str] = "kappa = 6 (1 + f/(n-2f))"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = KRUM

    def validate(self) -> None:
        """Refuse a count of neighbours below one."""
        if self.neighbours is not None:
            check_count(self, "neighbours", self.neighbours, least=1)

    def condition(self) -> Condition:
        """Return n >= 2f + 3, or enough vectors for the neighbours asked for."""
        if self.neighbours is not None and self.neighbours + 1 > 2 * self.f + 3:
            return Condition(self.neighbours + 1, "n >= neighbours + 1")
        return Condition(2 * self.f + 3, "n >= 2f + 3")

    def kappa(self, n: int) -> float | None:
        """Return 6 (1 + f / (n - 2f)), for the published number of neighbours and squared distances."""
        if self.as_released or self.neighbours not in (None, n - self.f - 2):
            return None
        return 6 * (1 + self.f / (n - 2 * self.f))

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(2 eta)."""
        return krum_variance_bound(n, self.f)

    def scores(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
        """Return what is least for the best vector."""
        n = distances.shape[-1]
        count = self.neighbours or n - self.f - (1 if self.as_released else 2)
        return krum_scores(distances.sqrt() if self.as_released else distances, count)

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
        """Return one for the best vector."""
        return mean_over(lowest(self.scores(distances), 1))


@dataclass(frozen=True)
class MultiKrum(GeometricRule):
    """Return the mean of the m vectors with the best scores of Krum; m defaults to n - f - 2.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 3 and m <= n - f - 2, and enough vectors for the neighbours asked for
    Guarantee   variance bound 1 / sqrt(2 eta); no kappa proven
    Cost        one read for the distances, one to average; O(n^2 log n)
    Reference   El-Mhamdi et al., SRDS 2020

    >>> import torch
    >>> MultiKrum(f=1, m=2)(torch.tensor([[0.0], [1.0], [2.0], [4.0], [9e9]]))
    tensor([0.5000])
    """

    f: int
    m: int | None = None
    neighbours: int | None = None
    as_released: bool = False

    guarantee: ClassVar[str] = "variance bound"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = MULTI_BULYAN

    def validate(self) -> None:
        """Refuse an m or a count of neighbours below one."""
        for name in ("m", "neighbours"):
            value = getattr(self, name)
            if value is not None:
                check_count(self, name, value, least=1)

    def condition(self) -> Condition:
        """Return n >= 2f + 3, and room for m and for the neighbours asked for."""
        scored = self._krum().condition()
        if self.m is not None and self.m + self.f + 2 > scored.minimum:
            return Condition(self.m + self.f + 2, "n >= m + f + 2")
        return scored

    def variance_bound(self, n: int, d: int) -> float:
        """Return 1 / sqrt(2 eta)."""
        return krum_variance_bound(n, self.f)

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the m best vectors."""
        m = self.m or distances.shape[-1] - self.f - 2
        return mean_over(lowest(self._krum().scores(distances), m))

    def _krum(self) -> Krum:
        return Krum(self.f, self.neighbours, self.as_released)
