"""How many samples of each class each worker holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int, Int64
from torch import Tensor

from varangian.errors import ParameterError


def class_counts(
    labels: Int[Tensor, "samples"], shards: Sequence[Int[Tensor, "_"]], classes: int
) -> Int64[Tensor, "workers classes"]:
    """Return the number of samples of each class in each worker's shard.

    Raises      ParameterError if a label is not below ``classes``

    >>> class_counts(torch.tensor([0, 1, 1]), [torch.tensor([0, 1]), torch.tensor([2])], classes=2)
    tensor([[1, 1],
            [0, 1]])
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ParameterError(
            f"The labels span {int(labels.min())}..{int(labels.max())}; they must lie in 0..{classes - 1}. "
            f"Raise classes = {classes}."
        )
    rows = [torch.bincount(labels[shard].long(), minlength=classes) for shard in shards]
    return torch.stack(rows) if rows else torch.zeros(0, classes, dtype=torch.int64)
