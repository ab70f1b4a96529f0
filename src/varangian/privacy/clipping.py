"""Clip every sample's gradient, so that no sample can move the mean far."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.errors import ParameterError, ShapeError


def clip_samples(gradients: Float[Tensor, "*batch b d"], norm: float) -> Float[Tensor, "*batch d"]:
    """Return the mean of the gradients, each shortened to ``norm`` where it is longer.

    A gradient with a non-finite coordinate counts as zero: to let it through would tell of its sample.

    Shape       (*batch, b, d) -> (*batch, d)
    Guarantee   replacing one gradient moves the result by at most 2 norm / b
    Raises      ShapeError without a sample; ParameterError for a norm that is not above zero

    >>> clip_samples(torch.tensor([[3.0, 4.0], [0.0, 0.5]]), norm=1.0)
    tensor([0.3000, 0.6500])
    """
    if not norm > 0:
        raise ParameterError(f"clip_samples(norm={norm!r}): norm must be above 0.")
    if gradients.shape[-2] == 0:
        raise ShapeError("clip_samples received a batch of no sample; its mean needs at least one.")
    return shortened(gradients, norm).sum(-2) / gradients.shape[-2]


def shortened(
    gradients: Float[Tensor, "*batch b d"], norm: float | Float[Tensor, ""]
) -> Float[Tensor, "*batch b d"]:
    """Return every gradient, scaled down to ``norm`` where it is longer, zero where it is not finite."""
    finite = gradients.isfinite().all(dim=-1, keepdim=True)
    rows = torch.where(finite, gradients, 0.0)
    lengths = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float64)
    # In float64: beside the largest numbers the factor would be a denormal, with few digits.
    return torch.where(lengths > norm, rows * (norm / lengths), rows.double()).to(gradients.dtype)
