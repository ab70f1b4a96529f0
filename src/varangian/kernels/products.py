"""Matrix products by the library that is fastest at them here, the same to the bit in any company."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from varangian.kernels.rows import LINE

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
    x: Float[Tensor, "runs g m k"],
    weight: Float[Tensor, "runs g n k"],
    bias: Float[Tensor, "runs g n"] | None = None,
) -> Float[Tensor, "runs g m n"]:
    """Return ``linear`` of every group of every run."""
    if x.device.type != "cpu":
        flat: Tensor = _grouped(
            x.flatten(0, 1), weight.flatten(0, 1), None if bias is None else bias.flatten(0, 1)
        )
        return torch.unflatten(flat, 0, x.shape[:2])
    # How a library sums may depend on how many products it is given at once: here, on one run's.
    biases = [None] * len(x) if bias is None else bias
    made = [_grouped(*three) for three in zip(x, weight, biases, strict=True)]
    return made[0][None] if len(made) == 1 else torch.stack(made)


def outer_sums(delta: Float[Tensor, "g m n"], x: Float[Tensor, "g m k"], out: Float[Tensor, "g n k"]) -> None:
    """Write the sum over m of the outer products of delta and x, for every group."""
    if delta.device.type != "cpu":
        out.copy_(torch.matmul(delta.mT, x))
    elif delta.shape[1] * delta.shape[2] * x.shape[2] >= WORTHWHILE:
        for d, y, place in zip(delta, x, out, strict=True):
            place.copy_(linear(d.mT, y.mT))
    else:
        torch.bmm(delta.mT, x, out=out)


def product(x: Float[Tensor, "*#batch m k"], y: Float[Tensor, "*#batch k n"]) -> Float[Tensor, "*batch m n"]:
    """Return x @ y in float64."""
    return (filled(x)[..., : x.shape[-1]] @ filled(y))[..., : y.shape[-1]]


def filled(x: Float[Tensor, "*batch m k"], *, both: bool = False) -> Float[Tensor, "*batch m2 k2"]:
    """Return x with zeros after each row, up to a whole line, and, if ``both``, after each column.

    How a library sums may depend on where in a line a matrix begins, or a row.
    """
    lack = (0, -x.shape[-1] % LINE, 0, -x.shape[-2] % LINE if both else 0)
    if any(lack):
        return functional.pad(x, lack)
    in_lines = x.stride(-1) == 1 and not any(step % LINE for step in x.stride()[:-1])
    return (
        x if in_lines and x.data_ptr() % (8 * LINE) == 0 else x.clone(memory_format=torch.contiguous_format)
    )


def top_of(x: Float[Tensor, "*batch k k"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch k"]]:
    """Return the largest eigenvalue of symmetric matrices, and its eigenvector, each matrix's by itself."""
    values, vectors = x.new_empty(x.shape[:-2].numel()), x.new_empty(x.shape[:-2].numel(), x.shape[-1])
    for run, matrix in enumerate(x.reshape(-1, *x.shape[-2:])):
        every, directions = torch.linalg.eigh(matrix)
        values[run], vectors[run] = every[-1], directions[:, -1]
    return values.view(x.shape[:-2]), vectors.view(x.shape[:-1])


def gram(vectors: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch k k"]:
    """Return the inner products of every two of the vectors, each group's by itself."""
    groups = vectors.reshape(-1, *vectors.shape[-2:])
    return torch.stack([linear(group, group) for group in groups]).view(
        *vectors.shape[:-1], vectors.shape[-2]
    )


def _grouped(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if len(x) == 1:
        return linear(x[0], weight[0], None if bias is None else bias[0])[None]
    return torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias[:, None], x, weight.mT)
