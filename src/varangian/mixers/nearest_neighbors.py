"""Nearest-neighbour mixing (NNM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.papers import FIXING
from varangian.core.selection import lowest, mean_over
from varangian.core.stages import Mixer


@dataclass(frozen=True)
class NearestNeighborMixing(Mixer):
    """Replace every vector by the mean of the n - f vectors nearest to it, itself included.

    Shape       (*batch, n, d) -> (*batch, n, d)
    Condition   n >= 2f + 1
    Guarantee   in front of a rule with coefficient k: 8f/(n-f) (k + 1) (recalled)
    Cost        one read for the distances, none to mix: the next stage reads the mixture
    Reference   Allouah et al., AISTATS 2023

    >>> import torch
    >>> NearestNeighborMixing(f=1)(torch.tensor([[0.0], [1.0], [5.0]]))
    tensor([[0.5000],
            [0.5000],
            [3.0000]])
    """

    f: int

    short_names = ("nnm",)
    guarantee: ClassVar[str] = "kappa -> 8f/(n-f) (kappa + 1)"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = FIXING

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def kappa_before(self, n: int, following: float) -> float:
        """Return 8f / (n - f) (following + 1)."""
        return 8 * self.f / (n - self.f) * (following + 1)

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
        """Return a row of equal weights over the nearest of each."""
        return mean_over(lowest(distances, distances.shape[-1] - self.f))
