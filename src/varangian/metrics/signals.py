"""Numbers that describe the vectors at one stage of a step, for one run or for many at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

Columns = dict[str, Tensor]
"""Numbers by name, each ``(*batch,)``: one for every run."""


@dataclass(frozen=True, eq=False)
class Signal:
    """The vectors of one stage in brief: their mean ``(*batch, d)`` and total variance ``(*batch,)``.

    The variance is the trace of the covariance, k - 1 in the denominator; zero for one vector.
    """

    mean: Float[Tensor, "*batch d"]
    variance: Float[Tensor, "*batch"]

    @classmethod
    def of(cls, vectors: Float[Tensor, "*batch k d"]) -> Signal:
        """Return k vectors in brief.

        >>> Signal.of(torch.tensor([[3.0, 0.0], [3.0, 8.0]])).columns("sent")
        {'sent_variance': tensor(32.), 'sent_norm': tensor(5.), 'sent_largest': tensor(4.)}
        """
        mean = vectors.mean(-2)
        total = torch.zeros_like(mean[..., 0])
        for vector in vectors.unbind(-2):
            total = total + (vector - mean).square_().sum(-1)
        return cls(mean, total / max(1, vectors.shape[-2] - 1))

    @classmethod
    def copies(cls, vector: Float[Tensor, "*batch d"]) -> Signal:
        """Return any number of copies of one vector in brief."""
        return cls(vector, torch.zeros_like(vector[..., 0]) * vector[..., 0])

    def columns(self, name: str) -> Columns:
        """Return the variance, the norm of the mean, and the mean's largest coordinate."""
        return {
            f"{name}_variance": self.variance,
            f"{name}_norm": self.mean.norm(dim=-1),
            f"{name}_largest": self.mean.abs().amax(-1),
        }


def cosine(a: Float[Tensor, "*batch d"], b: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Return the cosine of two vectors; NaN if either is zero.

    >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    tensor(1.)
    """
    length = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.where(length > 0, (a * b).sum(-1) / length, torch.nan)


def cosines(means: dict[str, Float[Tensor, "*batch d"]]) -> Columns:
    """Return the cosine of every two of the named vectors, as ``one_to_other``."""
    return {f"{one}_to_{other}": cosine(means[one], means[other]) for one, other in combinations(means, 2)}


def variance_to_norm(columns: Columns, name: str) -> Float[Tensor, "*batch"]:
    """Return the standard deviation over the norm of the mean; infinite where the mean is zero.

    >>> variance_to_norm(Signal.of(torch.tensor([[1.0], [3.0]])).columns("sent"), "sent")
    tensor(0.7071)
    """
    return columns[f"{name}_variance"].sqrt() / columns[f"{name}_norm"].abs()


def measure(
    sampled: Signal, sent: Signal, forged: Signal | None, aggregated: Float[Tensor, "*batch d"]
) -> Columns:
    """Return what is told of one step: each stage by itself, and the cosines between their means."""
    signals = {"sampled": sampled, "sent": sent}
    if forged is not None:
        signals["forged"] = forged
    columns: Columns = {}
    for name, signal in signals.items():
        columns |= signal.columns(name)
    columns["aggregated_norm"] = aggregated.norm(dim=-1)
    columns["aggregated_largest"] = aggregated.abs().amax(-1)
    columns |= cosines({name: signal.mean for name, signal in signals.items()} | {"aggregated": aggregated})
    columns["variance_to_norm"] = variance_to_norm(columns, "sent")
    return columns
