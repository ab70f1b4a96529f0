"""Mean and spread of some vectors, gathered part by part without losing digits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.rows import copies_at_end

COLUMNS = 2**17
"""Coordinates that are looked at together."""


@dataclass(frozen=True, eq=False)
class Moments:
    """How many vectors there were, their mean, and their summed squared deviations from it.

    ``squares`` has a number per coordinate, or one for all of them together, which is cheaper.

    >>> moments = Moments.of(torch.tensor([[3.0, 0.0], [3.0, 8.0]]))
    >>> moments.mean, moments.deviation, moments.variance
    (tensor([3., 4.]), tensor([0.0000, 5.6569]), tensor(32.))
    >>> Moments.of(torch.tensor([[3.0, 0.0], [3.0, 8.0]]), summed=True).variance
    tensor(32.)
    """

    count: int
    mean: Float[Tensor, "*batch d"]
    squares: Float[Tensor, "*batch e"]

    @classmethod
    def of(cls, vectors: Float[Tensor, "*batch k d"], *, summed: bool = False) -> Moments:
        """Return the moments of k vectors, at least one."""
        if copies_at_end(vectors) == vectors.shape[-2]:  # rounding must leave no spread
            return cls.copies(vectors[..., 0, :].clone(), vectors.shape[-2], summed=summed)
        parts = [_of_columns(columns, summed) for columns in vectors.split(COLUMNS, dim=-1)]
        mean = torch.cat([mean for mean, _ in parts], dim=-1)
        squares = torch.cat([squares for _, squares in parts], dim=-1)
        return cls(vectors.shape[-2], mean, squares.sum(-1, keepdim=True) if summed else squares)

    @classmethod
    def copies(cls, vector: Float[Tensor, "*batch d"], count: int, *, summed: bool = False) -> Moments:
        """Return the moments of copies of one vector."""
        squares = vector - vector  # zero, but of what is finite
        return cls(count, vector, squares.sum(-1, keepdim=True) if summed else squares)

    def merged(self, other: Moments) -> Moments:
        """Return the moments of these vectors and those together (Chan, Golub and LeVeque, 1983).

        >>> one, two = Moments.of(torch.tensor([[1.0]])), Moments.of(torch.tensor([[2.0], [6.0]]))
        >>> one.merged(two).mean, one.merged(two).squares
        (tensor([3.]), tensor([14.]))
        """
        total = self.count + other.count
        gap = other.mean - self.mean
        mean = torch.add(self.mean, gap, alpha=other.count / total)
        squares = self.squares + other.squares
        _add_squares(squares, gap, self.count * other.count / total)
        return Moments(total, mean, squares)

    def __getitem__(self, where: slice) -> Moments:
        """Return the moments of a part of the batch."""
        return Moments(self.count, self.mean[where], self.squares[where])

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """Return the trace of the covariance, count - 1 in the denominator; zero for one vector."""
        return self.squares.sum(-1) / max(1, self.count - 1)

    @property
    def deviation(self) -> Float[Tensor, "*batch d"]:
        """Return the standard deviation per coordinate, count - 1 in the denominator; needs all squares."""
        return (self.squares / max(1, self.count - 1)).sqrt()


def _of_columns(vectors: Tensor, summed: bool) -> tuple[Tensor, Tensor]:
    """Return the mean and the squares of some columns, few enough to stay in a core's cache."""
    # One after the other, so that no digit depends on what else is in the batch.
    first, *others = vectors.unbind(-2)
    mean = first.clone()
    for vector in others:
        mean += vector
    mean /= vectors.shape[-2]
    gap = torch.empty_like(mean)
    squares = torch.zeros_like(mean[..., :1] if summed else mean)
    for vector in (first, *others):
        torch.sub(vector, mean, out=gap)
        _add_squares(squares, gap, 1.0)
    return mean, squares


def _add_squares(squares: Tensor, gap: Tensor, factor: float) -> None:
    """Add the squares of a gap, coordinate by coordinate or all to one number, in place."""
    if squares.shape[-1] == gap.shape[-1]:
        squares.addcmul_(gap, gap, value=factor)
    else:
        squares.add_(gap.square().sum(-1, keepdim=True), alpha=factor)
