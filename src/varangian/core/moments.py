"""Mean and spread of some vectors."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from varangian.kernels.moments import moments


@dataclass(frozen=True, eq=False)
class Moments:
    """How many vectors there were, their mean, and their summed squared deviations from it.

    ``squares`` has a number per coordinate, or one for all of them together, which is cheaper.

    >>> import torch
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
    def of(cls, vectors: Float[Tensor, "*batch k d"], *, summed: bool = False, wide: bool = False) -> Moments:
        """Return the moments of k vectors, at least one; if ``wide``, in float64."""
        return cls(vectors.shape[-2], *moments(vectors, summed=summed, wide=wide))

    @classmethod
    def copies(cls, vector: Float[Tensor, "*batch d"], count: int, *, summed: bool = False) -> Moments:
        """Return the moments of copies of one vector."""
        squares = vector - vector  # zero, but of what is finite
        return cls(count, vector, squares.sum(-1, keepdim=True) if summed else squares)

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
