"""The covariance-bound-agnostic filter: weigh down what stretches the covariance most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.stages import GeometricRule
from varangian.kernels.products import product, top_of

ROUNDING = 1e-12
"""Vectors that project as far as the furthest, up to rounding, leave with it."""


@dataclass(frozen=True)
class CAF(GeometricRule):
    """Return the weighted mean seen with the least top eigenvalue while a filter removes 2f of weight.

    Each step finds the direction in which the weighted covariance is largest, and multiplies every
    weight by 1 - (squared projection) / (largest squared projection).

    Shape       (*batch, n, d) -> (*batch, d)
    Condition   n >= 2f + 1
    Guarantee   bounded by the honest covariance's top eigenvalue; its constant is not stated here
    Cost        one read for the distances, one to average; at most n eigenvectors of an n x n matrix
    Reference   Allouah et al., ICML 2025

    >>> CAF(f=1)(torch.tensor([[0.0], [2.0], [1.0], [1e6]]))
    tensor([1.0000])
    """

    f: int

    guarantee: ClassVar[str] = "bounded by the honest covariance"
    cost: ClassVar[str] = "two reads"
    reference: ClassVar[Reference] = Reference(
        "Youssef Allouah, Rachid Guerraoui, John Stephan",
        "Towards Trustworthy Federated Learning with Untrusted Participants",
        "ICML",
        2025,
        "https://arxiv.org/abs/2505.01874",
    )

    def condition(self) -> Condition:
        """Return n >= 2f + 1."""
        return Condition(2 * self.f + 1, "n >= 2f + 1")

    def weights(self, distances: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
        """Return the weights of the best mean that the filter passed through."""
        n = distances.shape[-1]
        tables = distances.reshape(-1, n, n)
        c = torch.ones_like(tables[..., 0])
        best = c / n
        least = torch.full_like(c[:, :1], torch.inf)
        runs = torch.arange(len(c), device=c.device)
        while len(runs):
            shares = c[runs] / c[runs].sum(-1, keepdim=True)
            top, projections = _top_direction(tables[runs], shares)
            better = top < least[runs]
            best[runs] = torch.where(better, shares, best[runs])
            least[runs] = torch.where(better, top, least[runs])
            worst = projections.amax(-1, keepdim=True)
            left = 1 - projections / torch.where(worst > 0, worst, 1.0)
            c[runs] *= torch.where(left > ROUNDING, left, 0.0)
            runs = runs[(worst[:, 0] > 0) & (c[runs].sum(-1) > n - 2 * self.f)]
        return best.reshape(distances.shape[:-1])


def _top_direction(distances: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted covariance's top eigenvalue ``(runs, 1)``, and all squared projections on it."""
    along = product(distances, shares[..., None])[..., 0]
    mean = (shares * along).sum(-1)[..., None, None]
    products = 0.5 * (along[..., :, None] + along[..., None, :] - mean - distances)
    alive = shares > 0
    products = torch.where(alive[..., :, None] & alive[..., None, :], products, 0.0)
    scale = products.abs().amax((-2, -1), keepdim=True)
    products = products / torch.where(scale > 0, scale, 1.0)
    root = shares.sqrt()
    top, direction = top_of(root[..., :, None] * products * root[..., None, :])
    top = top[..., None]
    projections = product(products, (root * direction)[..., None])[..., 0].square()
    return top.clamp(min=0.0) * scale[..., 0], torch.where(top > 0, projections, 0.0)
