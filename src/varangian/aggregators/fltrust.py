"""FLTrust: weigh every vector by its agreement with the server's own gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.needs import Pivot, Reads
from varangian.core.stages import Composite, GeometricRule, ScalingMixer, Stage

REFERENCE = Reference(
    "Xiaoyu Cao, Minghong Fang, Jia Liu, Neil Gong",
    "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping",
    "NDSS",
    2021,
    "https://arxiv.org/abs/2012.13995",
)

ROUNDING = 1e-12
"""A cosine of this size tells nothing."""


@dataclass(frozen=True)
class NormMatching(ScalingMixer):
    """Scale every vector to the norm of the trusted one, so that cosines lose no digit to huge norms.

    Shape       (*batch, n, d) -> (*batch, n, d)
    Condition   n >= 1
    Cost        one read; the scaled vectors are measured again
    Reference   Cao et al., NDSS 2021
    """

    f: int | None = None

    reads = Reads.PIVOTS
    pivots = (Pivot.GIVEN, Pivot.ORIGIN)
    folds = False
    cost: ClassVar[str] = "one read"
    reference: ClassVar[Reference] = REFERENCE

    def condition(self) -> Condition:
        """Return n >= 1."""
        return Condition(1, "n >= 1")

    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch n"]:
        """Return |g0| / |x_i|, or 0 for a vector of zeros."""
        norms = distances[..., :-2, -1].sqrt()
        trusted = distances[..., -2, -1, None].sqrt()
        return torch.where(norms > 0, trusted / torch.where(norms > 0, norms, 1.0), 0.0)


@dataclass(frozen=True)
class CosineTrust(GeometricRule):
    """Return the mean weighted by max(0, cosine with the trusted vector); zero where nobody is trusted.

    A cosine that may be rounding is none.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 1
    Cost        two reads
    Reference   Cao et al., NDSS 2021
    """

    f: int | None = None

    reads = Reads.PIVOTS
    pivots = (Pivot.GIVEN, Pivot.ORIGIN)
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = REFERENCE

    def condition(self) -> Condition:
        """Return n >= 1."""
        return Condition(1, "n >= 1")

    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch n"]:
        """Return the positive cosines, over their sum."""
        squares, trusted = distances[..., :-2, -1], distances[..., -2, -1, None]
        scale = 2 * squares.sqrt() * trusted.sqrt()  # whose squares' product may be no number
        cosines = (squares + trusted - distances[..., :-2, -2]) / torch.where(scale > 0, scale, torch.inf)
        trust = torch.where(cosines > ROUNDING, cosines, 0.0)
        total = trust.sum(-1, keepdim=True)
        return trust / torch.where(total > 0, total, 1.0)


@dataclass(frozen=True)
class FLTrust(Composite):
    """Return the trust-weighted mean of the vectors, each scaled to the norm of the trusted ``pivot``.

    Trust is max(0, cosine) with the server's own gradient. Any number of liars is survived as long as that
    gradient is good.

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 1, and a pivot
    Guarantee   the norm never exceeds the pivot's; no kappa proven
    Cost        three reads
    Reference   Cao et al., NDSS 2021

    >>> FLTrust()(torch.tensor([[2.0], [-9e9], [4.0]]), pivot=torch.tensor([1.0]))
    tensor([1.])
    """

    f: int | None = None

    guarantee: ClassVar[str] = "norm at most the trusted vector's"
    cost: ClassVar[str] = "three reads"
    reference: ClassVar[Reference] = REFERENCE

    def condition(self) -> Condition:
        """Return n >= 1."""
        return Condition(1, "n >= 1")

    def stages(self) -> tuple[Stage, ...]:
        """Return the scaling and the weighted mean."""
        return NormMatching(self.f), CosineTrust(self.f)
