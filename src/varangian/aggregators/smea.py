"""The smallest maximum eigenvalue averaging, exact by branch and bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from varangian.aggregators.subsets import least_spread, per_problem
from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.stages import GeometricRule


@dataclass(frozen=True)
class SMEA(GeometricRule):
    """Return the mean of the n - f vectors whose covariance has the least largest eigenvalue.

    Of several such subsets, the first in lexicographic order. Feasible while C(n, f) is: the search skips
    what a part of a subset already rules out, and stops after ``nodes`` subsets. None stops it after some ten
    seconds, twenty on a slow core: 300 000 subsets of 20 vectors, 2700 of 200.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   (f, kappa)-robust with kappa = 4f / (n - 2f): a share e of a set has a mean within
                sqrt((1-e)/e) standard deviations of the set's, taken twice through the common vectors
    Cost        one read for the distances, one to average; up to C(n, f) eigenvalue problems
    Raises      SearchLimitError beyond ``nodes``, or without it where the search takes too long
    Reference   Allouah et al., ICML 2023

    >>> import torch
    >>> SMEA(f=1)(torch.tensor([[0.0], [1.0], [2.0], [9e9]]))
    tensor([1.])
    """

    f: int
    nodes: int | None = None

    guarantee: ClassVar[str] = "kappa = 4f/(n-2f)"
    cost: ClassVar[str] = "two reads, C(n, f) in the worst case"
    reference: ClassVar[Reference] = Reference(
        "Youssef Allouah, Rachid Guerraoui, Nirupam Gupta, Rafael Pinot, John Stephan",
        "On the Privacy-Robustness-Utility Trilemma in Distributed Learning",
        "ICML",
        2023,
        "https://proceedings.mlr.press/v202/allouah23a.html",
    )

    def validate(self) -> None:
        """Refuse a search without nodes."""
        if self.nodes is not None:
            check_count(self, "nodes", self.nodes, least=1)

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def kappa(self, n: int) -> float:
        """Return 4f / (n - 2f)."""
        return 4 * self.f / (n - 2 * self.f)

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the subset of least spread."""
        return per_problem(distances, lambda table: least_spread(table, self.f, self.nodes))
