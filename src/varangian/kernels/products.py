"""Matrix products by the library that is fastest at them here."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether oneDNN can be asked for a product of float32 matrices.

On processors that PyTorch's own BLAS was not tuned for, it takes half the time; on others, the same.
"""

WORTHWHILE = 2**18
"""Multiplications below which a product of its own costs more than it saves."""


def linear(
    x: Float[Tensor, "m k"], weight: Float[Tensor, "n k"], bias: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "m n"]:
    """Return x times the transposed weight, plus the bias."""
    if ONEDNN and x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() and weight.numel():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
    return functional.linear(x, weight, bias)


def grouped_linear(
    x: Float[Tensor, "g m k"], weight: Float[Tensor, "g n k"], bias: Float[Tensor, "g n"] | None = None
) -> Float[Tensor, "g m n"]:
    """Return ``linear`` of every group."""
    if x.shape[1] * x.shape[2] * weight.shape[1] >= WORTHWHILE:
        biases = [None] * len(x) if bias is None else bias
        made = [linear(*three) for three in zip(x, weight, biases, strict=True)]
        return made[0][None] if len(made) == 1 else torch.stack(made)
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias[:, None], x, weight.mT)


def outer_sums(delta: Float[Tensor, "g m n"], x: Float[Tensor, "g m k"], out: Float[Tensor, "g n k"]) -> None:
    """Write the sum over m of the outer products of delta and x, group by group."""
    if delta.shape[1] * delta.shape[2] * x.shape[2] >= WORTHWHILE:
        for one, other, target in zip(delta, x, out, strict=True):
            target.copy_(linear(one.mT, other.mT))
    else:
        torch.bmm(delta.mT, x, out=out)
