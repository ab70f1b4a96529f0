"""Numbers that describe the vectors at each stage of a step, for one run or for many at once."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.moments import Moments
from varangian.kernels.products import gram

Columns = dict[str, Tensor]
"""Numbers by name, each ``(*batch,)``: one for every run."""


def describe(name: str, vectors: Moments) -> Columns:
    """Return the total variance, the norm of the mean, and the mean's largest coordinate.

    >>> describe("sent", Moments.of(torch.tensor([[3.0, 0.0], [3.0, 8.0]])))
    {'sent_variance': tensor(32.), 'sent_norm': tensor(5.), 'sent_largest': tensor(4.)}
    """
    return {
        f"{name}_variance": vectors.variance,
        f"{name}_norm": vectors.mean.norm(dim=-1),
        f"{name}_largest": vectors.mean.abs().amax(-1),
    }


def cosine(a: Float[Tensor, "*batch d"], b: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Return the cosine of two vectors; NaN if either is zero.

    >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    tensor(1.)
    """
    length = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.where(length > 0, (a * b).sum(-1) / length, torch.nan)


def cosines(means: dict[str, Float[Tensor, "*batch d"]]) -> Columns:
    """Return the cosine of every two of the named vectors, as ``one_to_other``.

    >>> cosines({"sent": torch.tensor([1.0, 0.0]), "aggregated": torch.tensor([2.0, 0.0])})
    {'sent_to_aggregated': tensor(1.)}
    """
    products = gram(torch.stack([mean.to(next(iter(means.values()))) for mean in means.values()], dim=-2))
    lengths = products.diagonal(dim1=-2, dim2=-1).sqrt()
    scale = lengths[..., None] * lengths[..., None, :]
    table = torch.where(scale > 0, products / scale, torch.nan)
    places = {name: place for place, name in enumerate(means)}
    return {f"{a}_to_{b}": table[..., places[a], places[b]] for a, b in combinations(means, 2)}


def variance_to_norm(columns: Columns, name: str) -> Float[Tensor, "*batch"]:
    """Return the standard deviation over the norm of the mean; infinite where the mean is zero.

    >>> variance_to_norm(describe("sent", Moments.of(torch.tensor([[1.0], [3.0]]))), "sent")
    tensor(0.7071)
    """
    norm = columns[f"{name}_norm"]
    return torch.where(norm > 0, columns[f"{name}_variance"].sqrt() / norm, torch.inf)


def measure(
    sampled: Moments, sent: Moments, forged: Moments | None, aggregated: Float[Tensor, "*batch d"]
) -> Columns:
    """Return what is told of one step: each stage by itself, and the cosines between their means."""
    stages = {"sampled": sampled, "sent": sent}
    if forged is not None:
        stages["forged"] = forged
    columns: Columns = {}
    for name, vectors in stages.items():
        columns |= describe(name, vectors)
    columns["aggregated_norm"] = aggregated.norm(dim=-1)
    columns["aggregated_largest"] = aggregated.abs().amax(-1)
    columns |= cosines({name: vectors.mean for name, vectors in stages.items()} | {"aggregated": aggregated})
    columns["variance_to_norm"] = variance_to_norm(columns, "sent")
    return columns
