"""Clipping of norms, to a constant or to what the vectors themselves suggest (ARC)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.checks import check_number
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.parties import Parties
from varangian.core.stages import ScalingMixer

ROUNDING = 1e-12

ARC = Reference(
    "Youssef Allouah, Rachid Guerraoui, Nirupam Gupta, Ahmed Jellouli, Geovani Rizk, John Stephan",
    "Adaptive Gradient Clipping for Robust Federated Learning",
    "ICLR",
    2025,
    "https://arxiv.org/abs/2405.14432",
)


def clip_factors(
    norms: Float[Tensor, "*batch n"], level: Float[Tensor, "*batch one"]
) -> Float[Tensor, "*batch n"]:
    """Return min(1, level / norm), and 1 for a zero norm."""
    return torch.where(norms > level, level / torch.where(norms > 0, norms, 1.0), 1.0)


@dataclass(frozen=True)
class Clipping(ScalingMixer):
    """Scale every vector whose norm exceeds ``radius`` down to it.

    Shape       (*batch, n, d) -> (*batch, n, d)
    Condition   n >= f + 1
    Guarantee   no output is longer than the radius
    Cost        one read, for the norms and what follows; another where that would lose digits
    Units       radius in those of the vectors
    Reference   Allouah et al., ICLR 2025

    >>> Clipping(radius=1.0)(torch.tensor([[3.0, 4.0], [0.0, 0.5]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.5000]])
    """

    radius: float
    f: int | None = None

    weighted = True
    guarantee: ClassVar[str] = "no output longer than the radius"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = ARC

    def validate(self) -> None:
        """Refuse a radius that is not positive."""
        check_number(self, "radius", self.radius)

    def condition(self) -> Condition:
        """Return n >= f + 1."""
        return Condition((self.f or 0) + 1, "n >= f + 1" if self.f else "n >= 1")

    def weights(
        self, distances: Float[Tensor, "*batch k k"], parties: Parties | None = None
    ) -> Float[Tensor, "*batch n"]:
        """Return the factors; weights of the parties change nothing."""
        norms = distances[..., :-1, -1].sqrt()
        return clip_factors(norms, torch.full_like(norms[..., :1], self.radius))


@dataclass(frozen=True)
class AdaptiveClipping(ScalingMixer):
    """Clip the k = floor(2f(n-f)/n) largest norms to the next one (ARC).

    With weights, the largest norms that hold a mass of at most 2m(1-m) are clipped, m being what liars
    may hold; equal weights give the same k.

    Shape       (*batch, n, d) -> (*batch, n, d)
    Condition   n >= 2f + 1
    Guarantee   keeps a rule's robustness, and bounds what is left of a liar by an honest norm
    Cost        one read, for the norms and what follows; another where that would lose digits
    Reference   Allouah et al., ICLR 2025

    >>> AdaptiveClipping(f=1)(torch.tensor([[1.0], [2.0], [9.0]]))
    tensor([[1.],
            [2.],
            [2.]])
    """

    f: int

    weighted = True
    short_names = ("arc",)
    guarantee: ClassVar[str] = "no output longer than the longest honest vector"
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = ARC

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def weights(
        self, distances: Float[Tensor, "*batch k k"], parties: Parties | None = None
    ) -> Float[Tensor, "*batch n"]:
        """Return the factors."""
        norms = distances[..., :-1, -1].sqrt()
        ordered, order = norms.sort(dim=-1, descending=True, stable=True)
        if parties is None:
            n = norms.shape[-1]
            k = 2 * self.f * (n - self.f) // n
            return clip_factors(norms, ordered[..., k : k + 1])
        budget = 2 * parties.mass * (1 - parties.mass) + ROUNDING
        held = parties.shares[order].cumsum(-1)
        first = (held > budget).double().argmax(-1, keepdim=True)
        return clip_factors(norms, ordered.gather(-1, first))
