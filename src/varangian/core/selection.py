"""Choosing by score, ties to the lowest index."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def lowest(scores: Float[Tensor, "*batch n"], k: int) -> Bool[Tensor, "*batch n"]:
    """Mark the k lowest scores.

    >>> lowest(torch.tensor([2.0, 1.0, 1.0, 1.0]), 2)
    tensor([False,  True,  True, False])
    """
    order = scores.argsort(dim=-1, stable=True)
    marked = torch.zeros_like(scores, dtype=torch.bool)
    return marked.scatter(-1, order[..., :k], True)


def mean_over(chosen: Bool[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Return the weights of the mean over the chosen.

    >>> mean_over(torch.tensor([True, False, True, False]))
    tensor([0.5000, 0.0000, 0.5000, 0.0000], dtype=torch.float64)
    """
    return chosen.double() / chosen.sum(-1, keepdim=True).clamp(min=1)
