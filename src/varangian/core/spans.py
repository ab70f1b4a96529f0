"""Points around a centre, far ones drawn nearer: algebra that keeps its digits under huge outliers.

These are many small operations, which NumPy begins in a third of PyTorch's time. So runs stand one after the
other, along one first axis.
"""

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
"""The share of a vector's square that is left beside those before it, if it goes its own way."""

MAJORITY = 0.5001
"""A share that decides: seen from a point so far out that it is drawn, this many pull as one."""

Numbers = NDArray[np.float64]


def one_by_one(tables: Float[Tensor, "*batch k k"]) -> Float[np.ndarray, "runs k k"]:
    """Return the tables of all runs in a row."""
    return tables.detach().cpu().reshape(tables.shape[:-2].numel(), *tables.shape[-2:]).numpy()


@dataclass(frozen=True, eq=False)
class Drawing:
    """A central point c, and the factor by which each point x becomes c + factor (x - c).

    A majority lies within the ``radius`` around the centre.
    """

    centre: Int[np.ndarray, " runs"]
    radius: Float[np.ndarray, " runs"]
    factors: Float[np.ndarray, "runs k"]

    @classmethod
    def of(cls, table: Float[np.ndarray, "runs k k"], shares: Float[np.ndarray, " m"]) -> Drawing:
        """Choose the centre among the first m points; only those are drawn, and only if it is needed.

        The radius around the centre within which a majority of the shares lies is least, so that while liars
        are fewer than half it lies among the honest.
        """
        m = len(shares)
        order = table[:, :m, :m].argsort(-1)
        first = (shares[order].cumsum(-1) > MAJORITY).argmax(-1)
        runs, points = np.arange(len(table)), np.arange(m)
        radii = table[runs[:, None], points, order[runs[:, None], points, first]]
        centre = radii.argmin(-1)
        distance, typical = table[runs, centre], radii[runs, centre]
        nearest = np.where(distance > 0, distance, np.inf).min(-1)
        near = np.where(typical > 0, typical, nearest)
        near = np.maximum(near, distance[:, m:].max(-1, initial=0.0))[:, None]
        far = distance > WIDEST * near
        far[:, m:] = False
        # Roots are divided, not squares: their ratio may be too small for a number.
        nearer = np.where(far, np.sqrt(near) / np.sqrt(np.where(far, distance, 1.0)), 1.0)
        return cls(centre, np.sqrt(typical), nearer)

    @property
    def needed(self) -> bool:
        """Tell whether any point must be drawn."""
        return bool((self.factors < 1).any())


@dataclass(frozen=True, eq=False)
class Span:
    """The points x_i = c + stretch_i u_i, by the table of the c + u_i, as drawn; c is one of the points.

    A majority lies within the ``radius`` around it.
    """

    table: Float[np.ndarray, "runs k k"]
    centre: Int[np.ndarray, " runs"]
    radius: Float[np.ndarray, " runs"]
    products: Float[np.ndarray, "runs k k"]
    stretch: Float[np.ndarray, "runs k"]

    @classmethod
    def of(cls, table: Float[np.ndarray, "runs k k"], drawing: Drawing) -> Span:
        """Read the table of squared distances of the points as they were drawn."""
        centre = drawing.centre
        return cls(table, centre, drawing.radius, _products(table, centre), 1 / drawing.factors)

    @property
    def squares(self) -> Float[np.ndarray, "runs k"]:
        """Return the |u_i|^2."""
        squares: Numbers = self.table[np.arange(len(self.table)), self.centre]
        return squares

    def squared_distances(self, weights: Float[np.ndarray, "runs k"]) -> Float[np.ndarray, "runs k"]:
        """Return |x_i - z|^2 for z the combination with these weights, which sum to one."""
        a = weights * self.stretch
        # By no library of matrices, which may add up a batch in another order than one.
        along = (self.products * a[:, None, :]).sum(-1)
        square = (a * along).sum(-1, keepdims=True)
        between: Numbers = (self.stretch * np.sqrt(self.squares)) ** 2 - 2 * self.stretch * along + square
        return np.maximum(between, 0.0)

    def around(self, origin: Int[np.ndarray, " runs"]) -> Float[np.ndarray, "runs k k"]:
        """Return the inner products of the (x_i - o) / stretch_i, o being a point that was not drawn."""
        products = _products(self.table, origin)
        if not (self.stretch > 1).any():
            return products
        runs, share = np.arange(len(products)), 1 - 1 / self.stretch
        centre = products[runs, self.centre]
        own = centre[runs, self.centre][:, None, None]
        cross = share[:, :, None] * centre[:, None, :]
        both: Numbers = share[:, :, None] * share[:, None, :] * own
        moved: Numbers = products - cross - cross.swapaxes(1, 2) + both
        return moved

    def coordinates(self, origin: Int[np.ndarray, " runs"]) -> Float[np.ndarray, "runs k k"]:
        """Return the points in orthonormal coordinates of their span, around one that was not drawn."""
        points: Numbers = self.stretch[:, :, None] * _factor(self.around(origin), origin)
        return points


def _factor(products: Numbers, origin: NDArray[np.intp]) -> Numbers:
    """Return vectors that have these inner products, of which the origin is one."""
    vectors, found = _factor_at_once(products, origin)
    if not found.all():
        vectors[~found] = _factor_by_columns(products[~found])
    return vectors


def _factor_at_once(table: Numbers, origin: NDArray[np.intp]) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return them by Cholesky's way, and where all but the origin go their own ways."""
    place = np.arange(len(table)), origin, origin
    some = table.copy()
    some[place] = 1.0  # for Cholesky's way ends at a zero
    lower, lost = (made.numpy() for made in torch.linalg.cholesky_ex(torch.from_numpy(some)))
    left = np.diagonal(lower, axis1=1, axis2=2) ** 2
    own = (left > OWN_WAY * np.diagonal(some, axis1=1, axis2=2)).all(-1)
    vectors = np.ascontiguousarray(lower)
    vectors[place] = 0.0
    return vectors, own & (lost == 0)


def _factor_by_columns(table: Numbers) -> Numbers:
    """Return them by Cholesky's columns, the longest remainder first.

    So the rounding of a short vector stays its own.
    """
    k, left = table.shape[-1], table.copy()
    remainder = np.diagonal(left, axis1=1, axis2=2)  # goes along with what is left
    # What is left of a vector is as wrong as its products with the longest are.
    least = k * np.finfo(left.dtype).eps * np.sqrt(remainder * remainder.max(-1, keepdims=True))
    vectors, every = np.zeros_like(left), np.arange(len(left))
    for j in range(k):
        place = (remainder - least).argmax(-1)
        longest = remainder[every, place]
        useful = longest > least[every, place]
        if not useful.any():
            break
        column = left[every, :, place] / np.sqrt(np.where(useful, longest, np.inf))[:, None]
        vectors[..., j] = column
        left -= column[:, :, None] * column[:, None, :]
    return vectors


def _products(table: Numbers, origin: NDArray[np.intp]) -> Numbers:
    """Return the inner products of the points around one of them."""
    to_origin = table[np.arange(len(table)), origin]
    products: Numbers = 0.5 * (to_origin[:, :, None] + to_origin[:, None, :] - table)
    return products
