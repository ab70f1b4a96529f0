"""Means of the vectors nearest to a pivot: Aksel, MoNNA, and CGE, whose pivot is the origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.needs import Pivot, Reads
from varangian.core.selection import lowest, mean_over
from varangian.core.stages import GeometricRule
from varangian.errors import ParameterError


def mean_of_closest(table: Float[Tensor, "*batch k k"], keep: int) -> Float[Tensor, "*batch n"]:
    """Return the weights of the mean of the ``keep`` points nearest to the pivot in the last column."""
    return mean_over(lowest(table[..., :-1, -1], keep))


@dataclass(frozen=True)
class Aksel(GeometricRule):
    """Return the mean of the vectors nearest to the coordinate-wise median.

    ``keep`` is ``"mid"``, the nearest half (rounded up), or ``"n-f"``.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   none proven as kappa
    Cost        one read for the median and the distances to it, one to average; behind a mixer that plans
                on distances three: the mixed vectors' median exists only once those are planned, and tells
                the distances to it
    Reference   Boussetta et al., OPODIS 2020

    >>> import torch
    >>> Aksel(f=1)(torch.tensor([[0.0], [1.0], [2.0], [9e9]]))
    tensor([1.5000])
    """

    f: int
    keep: str = "mid"

    reads = Reads.PIVOTS
    pivots = (Pivot.MEDIAN,)
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "Amine Boussetta, El-Mahdi El-Mhamdi, Rachid Guerraoui, Alexandre Maurer, Sébastien Rouault",
        "AKSEL: Fast Byzantine SGD",
        "OPODIS",
        2020,
        "https://doi.org/10.4230/LIPIcs.OPODIS.2020.8",
    )

    def validate(self) -> None:
        """Refuse a ``keep`` that is neither of the two."""
        if self.keep not in ("mid", "n-f"):
            raise ParameterError(f"Aksel(keep={self.keep!r}): keep must be 'mid' or 'n-f'.")

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the nearest to the median."""
        n = distances.shape[-1] - 1
        return mean_of_closest(distances, (n + 1) // 2 if self.keep == "mid" else n - self.f)


@dataclass(frozen=True)
class MoNNA(GeometricRule):
    """Return the mean of the n - f vectors nearest to one's own, which is passed as ``pivot``.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   none proven as kappa; the pivot must be honest
    Cost        one read for the distances to the pivot, one to average
    Reference   Farhadkhani et al., ICML 2023

    >>> import torch
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [9e9]])
    >>> MoNNA(f=1)(x, pivot=x[0])
    tensor([1.])
    """

    f: int

    reads = Reads.PIVOTS
    pivots = (Pivot.GIVEN,)
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "Sadegh Farhadkhani, Rachid Guerraoui, Nirupam Gupta, Lê-Nguyên Hoang, Rafael Pinot, John Stephan",
        "Robust Collaborative Learning with Linear Gradient Overhead",
        "ICML",
        2023,
        "https://proceedings.mlr.press/v202/farhadkhani23a.html",
    )

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the nearest to the pivot."""
        return mean_of_closest(distances, distances.shape[-1] - 1 - self.f)


@dataclass(frozen=True)
class ComparativeGradientElimination(GeometricRule):
    """Return the mean of the n - f vectors of least norm.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   none proven as kappa
    Cost        one read for the norms, one to average
    Reference   Gupta et al., DSN-W 2021

    >>> import torch
    >>> ComparativeGradientElimination(f=1)(torch.tensor([[1.0], [2.0], [-9.0]]))
    tensor([1.5000])
    """

    f: int

    reads = Reads.NORMS
    pivots = (Pivot.ORIGIN,)
    short_names = ("cge",)
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "Nirupam Gupta, Shuo Liu, Nitin Vaidya",
        "Byzantine Fault-Tolerant Distributed Machine Learning with Norm-Based "
        "Comparative Gradient Elimination",
        "DSN-W",
        2021,
        "https://arxiv.org/abs/2008.04699",
    )

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the least norms."""
        return mean_of_closest(distances, distances.shape[-1] - 1 - self.f)
