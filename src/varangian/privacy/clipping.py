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
    finite = gradients.isfinite().all(dim=-1)
    rows = torch.where(finite[..., None], gradients, 0.0)
    lengths = torch.linalg.vector_norm(rows, dim=-1, dtype=torch.float64)
    factors = norm / lengths.clamp(min=norm)
    precise = torch.finfo(rows.dtype).tiny / torch.finfo(rows.dtype).eps
    wide = rows.dtype if bool((factors >= precise).all()) else torch.float64  # subnormal factors are coarse
    total = torch.matmul(factors[..., None, :].to(wide), rows.to(wide))[..., 0, :]
    return (total / rows.shape[-2]).to(rows.dtype)
