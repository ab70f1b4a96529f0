"""Minimum diameter averaging, exact without enumerating subsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from varangian.aggregators.subsets import least_diameter, per_problem
from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.stages import GeometricRule


@dataclass(frozen=True)
class MinimumDiameterAveraging(GeometricRule):
    """Return the mean of the n - f vectors whose largest pairwise distance is least.

    Of several such subsets, the first in lexicographic order. ``nodes`` bounds the search, which is a
    binary search on the diameter with a vertex cover of at most f vectors at each step; None bounds it by
    about as much time for many vectors as for few, a million nodes of 25 vectors.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   (f, kappa)-robust with kappa = 8 f^2 / (n - f): two subsets share a vector, so means differ by
                at most 2f/(n-f) diameters, and diameter^2 <= 2 (n-f) variance
    Cost        one read for the distances, one to average; the search is exponential in theory only
    Raises      SearchLimitError beyond ``nodes``
    Reference   El-Mhamdi et al., PODC 2020

    >>> import torch
    >>> MinimumDiameterAveraging(f=1)(torch.tensor([[0.0], [1.0], [2.0], [9e9]]))
    tensor([1.])
    """

    f: int
    nodes: int | None = None

    short_names = ("mda", "brute")
    guarantee: ClassVar[str] = "kappa = 8 f^2/(n-f)"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "El-Mahdi El-Mhamdi, Rachid Guerraoui, Arsany Guirguis, Lê-Nguyên Hoang, Sébastien Rouault",
        "Genuinely Distributed Byzantine Machine Learning",
        "PODC",
        2020,
        "https://arxiv.org/abs/1905.03853",
    )

    def validate(self) -> None:
        """Refuse a search without nodes."""
        if self.nodes is not None:
            check_count(self, "nodes", self.nodes, least=1)

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def kappa(self, n: int) -> float:
        """Return 8 f^2 / (n - f)."""
        return 8 * self.f**2 / (n - self.f)

    def variance_bound(self, n: int, d: int) -> float:
        """Return (n - f) / (sqrt(8) f)."""
        return (n - self.f) / (8**0.5 * self.f) if self.f else float("inf")

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
        """Return equal weights for the subset of least diameter."""
        return per_problem(distances, lambda table: least_diameter(table, self.f, self.nodes))
