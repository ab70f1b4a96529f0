"""Points around a centre, far ones drawn nearer: algebra that keeps its digits under huge outliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

WIDEST = 1e4
"""Ratio of squared distances to the centre above which far points are drawn nearer."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A central point c, and the factor by which each point x becomes c + factor (x - c)."""

    centre: Int[Tensor, "*batch"]
    factors: Float[Tensor, "*batch k"]

    @classmethod
    def of(cls, table: Float[Tensor, "*batch k k"], m: int) -> Drawing:
        """Choose the centre among the first m points; only those are drawn, and only if it is needed.

        The centre's median squared distance to the others is least, so that while liars are fewer than
        half it lies among the honest.
        """
        centre = table[..., :m, :m].median(dim=-1).values.argmin(-1)
        distance = _column(table, centre)[..., 0]
        typical = distance[..., :m].median(dim=-1, keepdim=True).values
        nearest = torch.where(distance > 0, distance, torch.inf).amin(-1, keepdim=True)
        near = torch.where(typical > 0, typical, nearest)
        if table.shape[-1] > m:
            near = torch.maximum(near, distance[..., m:].amax(-1, keepdim=True))
        far = distance > WIDEST * near
        far[..., m:] = False
        return cls(centre, torch.where(far, near / distance, 1.0).sqrt())

    @property
    def needed(self) -> bool:
        """Tell whether any point must be drawn."""
        return bool((self.factors < 1).any())


@dataclass(frozen=True, eq=False)
class Span:
    """The points x_i = c + stretch_i u_i, by the inner products of the u_i; c is one of the points."""

    products: Float[Tensor, "*batch k k"]
    stretch: Float[Tensor, "*batch k"]

    @classmethod
    def of(cls, table: Float[Tensor, "*batch k k"], drawing: Drawing) -> Span:
        """Read the table of squared distances of the points as they were drawn."""
        to_centre = _column(table, drawing.centre)
        return cls(0.5 * (to_centre + to_centre.mT - table), 1 / drawing.factors)

    def squared_distances(self, weights: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k"]:
        """Return |x_i - z|^2 for z the combination with these weights, which sum to one."""
        a = weights * self.stretch
        along = (self.products @ a[..., None])[..., 0]
        own = torch.diagonal(self.products, dim1=-2, dim2=-1)
        square = (a * along).sum(-1, keepdim=True)
        return (self.stretch.square() * own - 2 * self.stretch * along + square).clamp(min=0.0)


def _column(table: Tensor, index: Tensor) -> Tensor:
    return torch.gather(table, -1, index[..., None, None].expand(*table.shape[:-1], 1))
