"""Vectors of which each process holds some coordinates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class InShards:
    """This process's coordinates of n vectors; the others, and the call itself, are the same everywhere.

    ``vectors`` is what a rule takes, blocks included; ``summed`` returns the sum of a float64 tensor over all
    processes: an all-reduce. Distances are summed, so that every process plans alike, and combines its own
    coordinates. Counts of non-finite values are this shard's.

    >>> import torch
    >>> from varangian.aggregators import Krum
    >>> from varangian.core.inputs import InShards
    >>> x = torch.tensor([[0.0, 1.0], [0.1, 1.1], [0.25, 1.25], [0.45, 1.45], [9e9, 0.0]])
    >>> rest = (x[:, None, 1].double() - x[:, 1].double()).square()
    >>> Krum(f=1)(InShards(x[:, :1], lambda here: here + rest))  # the other process holds the other column
    tensor([0.1000])
    """

    vectors: Any
    summed: Callable[[Tensor], Tensor]
