"""Points around a centre, far ones drawn nearer: algebra that keeps its digits under huge outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

WIDEST = 1e4
"""Ratio of squared distances to the centre above which far points are drawn nearer."""

OWN_WAY = 1e-3
"""The share of a vector's square that is left beside all longer ones, if it goes its own way."""

MAJORITY = 0.5001
"""A share that decides: seen from a point so far out that it is drawn, this many pull as one."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A central point c, and the factor by which each point x becomes c + factor (x - c)."""

    centre: Int[Tensor, "*batch"]
    factors: Float[Tensor, "*batch k"]

    @classmethod
    def of(
        cls, table: Float[Tensor, "*batch k k"], m: int, shares: Float[Tensor, "*#batch m"] | None = None
    ) -> Drawing:
        """Choose the centre among the first m points; only those are drawn, and only if it is needed.

        The radius around the centre within which a majority lies is least, so that while liars are fewer
        than half it lies among the honest.
        """
        radii = _majority_radii(table[..., :m, :m], shares)
        centre = radii.argmin(-1)
        distance = _column(table, centre)[..., 0]
        typical = radii.amin(-1, keepdim=True)
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
    """The points x_i = c + stretch_i u_i, by the table of the c + u_i, as drawn; c is one of the points."""

    table: Float[Tensor, "*batch k k"]
    centre: Int[Tensor, "*batch"]
    products: Float[Tensor, "*batch k k"]
    stretch: Float[Tensor, "*batch k"]

    @classmethod
    def of(cls, table: Float[Tensor, "*batch k k"], drawing: Drawing) -> Span:
        """Read the table of squared distances of the points as they were drawn."""
        return cls(table, drawing.centre, _products(table, drawing.centre), 1 / drawing.factors)

    def squared_distances(self, weights: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch k"]:
        """Return |x_i - z|^2 for z the combination with these weights, which sum to one."""
        a = weights * self.stretch
        # By no library of matrices, which may add up a batch in another order than one.
        along = (self.products * a[..., None, :]).sum(-1)
        own = torch.diagonal(self.products, dim1=-2, dim2=-1)
        square = (a * along).sum(-1, keepdim=True)
        return (self.stretch.square() * own - 2 * self.stretch * along + square).clamp(min=0.0)

    def around(self, origin: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch k k"]:
        """Return the inner products of the (x_i - o) / stretch_i, o being a point that was not drawn."""
        products = _products(self.table, origin)
        if not bool((self.stretch > 1).any()):
            return products
        share = 1 - 1 / self.stretch
        centre = _column(products, self.centre)[..., 0]
        own = torch.gather(centre, -1, self.centre[..., None])[..., None]
        cross = share[..., :, None] * centre[..., None, :]
        return products - cross - cross.mT + share[..., :, None] * share[..., None, :] * own

    def coordinates(self, origin: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch k k"]:
        """Return the points in orthonormal coordinates of their span, around one that was not drawn."""
        return self.stretch[..., None] * _factor(self.around(origin))


def _factor(products: Tensor) -> Tensor:
    """Return vectors that have these inner products."""
    k = products.shape[-1]
    table = products.cpu().reshape(products.shape[:-2].numel(), k, k)
    vectors, found = _factor_at_once(table)
    if not bool(found.all()):
        vectors[~found] = torch.from_numpy(_factor_by_columns(table[~found].numpy()))
    return vectors.view_as(products).to(products.device)


def _factor_at_once(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return them by Cholesky's way, the longest first, and where but for one zero all go their own ways."""
    order = torch.diagonal(table, dim1=1, dim2=2).argsort(dim=-1, descending=True, stable=True)[:, :-1]
    problem = torch.arange(len(table))[:, None]
    some = table[problem[..., None], order[:, :, None], order[:, None, :]]
    lower, lost = torch.linalg.cholesky_ex(some)
    left = torch.diagonal(lower, dim1=1, dim2=2).square()
    own = (left > OWN_WAY * torch.diagonal(some, dim1=1, dim2=2)).all(-1)
    vectors = torch.zeros_like(table)
    vectors[problem, order, :-1] = lower
    return vectors, own & (lost == 0)


def _factor_by_columns(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return them by Cholesky's columns, the longest remainder first.

    So the rounding of a short vector stays its own. These are many small operations, which NumPy begins
    sooner than PyTorch.
    """
    k, left = table.shape[-1], table.copy()
    remainder = np.diagonal(left, axis1=1, axis2=2)  # goes along with what is left
    least = k * np.finfo(left.dtype).eps * remainder.max(-1)
    vectors, every = np.zeros_like(left), np.arange(len(left))
    for j in range(k):
        place = remainder.argmax(-1)
        longest = remainder[every, place]
        useful = longest > least
        if not useful.any():
            break
        column = left[every, :, place] / np.sqrt(np.where(useful, longest, np.inf))[:, None]
        vectors[..., j] = column
        left -= column[:, :, None] * column[:, None, :]
    return vectors


def _products(table: Tensor, origin: Tensor) -> Tensor:
    """Return the inner products of the points around one of them."""
    to_origin = _column(table, origin)
    return 0.5 * (to_origin + to_origin.mT - table)


def _majority_radii(table: Tensor, shares: Tensor | None) -> Tensor:
    """Return, for each point, the squared distance within which a majority of the shares lies."""
    ordered, order = table.sort(dim=-1)
    if shares is None:
        shares = torch.full_like(table[..., 0, :], 1 / table.shape[-1])
    held = shares[..., None, :].expand_as(order).gather(-1, order).cumsum(-1)
    first = (held > MAJORITY).double().argmax(-1, keepdim=True)
    return ordered.gather(-1, first)[..., 0]


def _column(table: Tensor, index: Tensor) -> Tensor:
    return torch.gather(table, -1, index[..., None, None].expand(*table.shape[:-1], 1))
