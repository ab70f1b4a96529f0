"""Squared distances by direct differences: nothing is lost when vectors are close.

Norms minus twice a product would lose every digit when the norms dwarf the differences, and an
attacker can force that. Differences, squares and sums are taken in float64.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.rows import copies_at_end


def pairwise(values: Float[Tensor, "*batch k c"]) -> Float[Tensor, "*batch k k"]:
    """Return the squared distances between all rows of one block; copies at its end are measured once."""
    k = values.shape[-2]
    distinct = k - copies_at_end(values) + 1 if k else 0
    values = values[..., :distinct, :].double()
    table = values.new_zeros(*values.shape[:-2], distinct, distinct)
    for i in range(distinct - 1):
        between = (values[..., i + 1 :, :] - values[..., i : i + 1, :]).square_().sum(-1)
        table[..., i, i + 1 :] = between
        table[..., i + 1 :, i] = between
    place = torch.arange(k, device=values.device).clamp(max=max(0, distinct - 1))
    return table if distinct == k else table[..., place, :][..., place]


def to_each(
    values: Float[Tensor, "*batch m c"], targets: Float[Tensor, "*batch p c"]
) -> Float[Tensor, "*batch m p"]:
    """Return the squared distances from every row of one block to each of a few targets."""
    values, targets = values.double(), targets.double()
    columns = [(values - targets[..., j : j + 1, :]).square_().sum(-1) for j in range(targets.shape[-2])]
    return torch.stack(columns, dim=-1)


def total(start: Tensor, partial: Iterable[Tensor]) -> Tensor:
    """Return ``start`` plus a table per block, in order."""
    for table in partial:
        start = start + table
    return start
