"""Numbers that describe the vectors at each stage of a step, for one run or for many at once."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.moments import Moments
from varangian.kernels.inner import inner

Columns = dict[str, Tensor]
"""Numbers by name, each ``(*batch,)``: one for every run."""


def describe(name: str, vectors: Moments) -> Columns:
    """Return the total variance, the norm of the mean, and the mean's largest coordinate.

    >>> describe("sent", Moments.of(torch.tensor([[3.0, 0.0], [3.0, 8.0]])))
    {'sent_variance': tensor(32.), 'sent_norm': tensor(5.), 'sent_largest': tensor(4.)}
    """
    return {f"{name}_variance": vectors.variance} | _told({name: vectors.mean})


def cosine(a: Float[Tensor, "*batch d"], b: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Return the cosine of two vectors; NaN if either is zero.

    >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    tensor(1.)
    """
    return cosines({"a": a, "b": b})["a_to_b"]


def cosines(means: dict[str, Float[Tensor, "*batch d"]]) -> Columns:
    """Return the cosine of every two of the named vectors, as ``one_to_other``.

    >>> cosines({"sent": torch.tensor([1.0, 0.0]), "aggregated": torch.tensor([2.0, 0.0])})
    {'sent_to_aggregated': tensor(1.)}
    """
    told, lengths = _told(means), 2 * len(means)
    return dict(list(told.items())[lengths:])


def angles(table: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch k k"]:
    """Return the cosines of every two of k vectors, given their inner products; NaN where one is zero."""
    lengths = table.diagonal(dim1=-2, dim2=-1).sqrt()
    scale = lengths[..., None] * lengths[..., None, :]
    return torch.where(scale > 0, table / scale, torch.nan)


def _told(vectors: dict[str, Float[Tensor, "*batch d"]]) -> Columns:
    """Return the norm and the largest coordinate of every vector, and then the cosine of every two."""
    names, like = list(vectors), next(iter(vectors.values()))
    table, largest = inner(list(vectors.values()))
    lengths = table.diagonal(dim1=-2, dim2=-1).sqrt()
    turned = angles(table).to(like)
    columns = {
        f"{name}_norm": length for name, length in zip(names, lengths.to(like).unbind(-1), strict=True)
    }
    columns |= {
        f"{name}_largest": size for name, size in zip(names, largest.to(like).unbind(-1), strict=True)
    }
    pairs = combinations(range(len(names)), 2)
    return columns | {f"{names[i]}_to_{names[j]}": turned[..., i, j] for i, j in pairs}


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
    columns = {f"{name}_variance": vectors.variance for name, vectors in stages.items()}
    columns |= _told({name: vectors.mean for name, vectors in stages.items()} | {"aggregated": aggregated})
    columns["variance_to_norm"] = variance_to_norm(columns, "sent")
    return columns
