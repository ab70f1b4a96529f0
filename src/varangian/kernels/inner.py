"""What a few long vectors have to do with each other: inner products and largest numbers, in one read."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.inner import inner_code
from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.tasks import name_of

_inner = Compiler(inner_code, None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)


def inner(
    vectors: Sequence[Float[Tensor, "*batch d"]],
) -> tuple[Float[Tensor, "*batch k k"], Float[Tensor, "*batch k"]]:
    """Return the inner products of every two of k vectors, and the largest size of a number in each.

    In float64; each problem's by itself, whatever is beside it.

    >>> inner([torch.tensor([3.0, -4.0]), torch.tensor([1.0, 0.0])])
    (tensor([[25.,  3.],
            [ 3.,  1.]], dtype=torch.float64), tensor([4., 1.], dtype=torch.float64))
    """
    first = vectors[0]
    *batch, d = first.shape
    if first.device.type != "cpu" or first.dtype not in (torch.float32, torch.float64) or not available():
        return _eagerly(torch.stack([vector.to(first) for vector in vectors], dim=-2).double())
    k, step = len(vectors), d * first.element_size()
    rows = [vector.to(first).contiguous() for vector in vectors]
    count = first.numel() // d if d else 0
    starts = np.array([row.data_ptr() for row in rows]) + np.arange(count)[:, None] * step
    places = starts.astype(np.uint64)
    told = first.new_empty(count, k * (k + 1) // 2 + k, dtype=torch.float64)
    kernel = _inner(name_of(first.dtype), k)
    for run, out in enumerate(told):
        kernel(places[run].ctypes.data, d, out.data_ptr())
    table = told[:, _places(k)]
    own = table.diagonal(dim1=-2, dim2=-1)
    largest = torch.where(own.isnan(), torch.nan, told[:, -k:])
    return table.view(*batch, k, k), largest.reshape(*batch, k)


def _eagerly(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same with one operation of PyTorch at a time."""
    *batch, k, _ = vectors.shape
    each = [(one[:, None] * one).sum(-1) for one in vectors.view(-1, *vectors.shape[-2:])]
    return torch.stack(each).view(*batch, k, k), vectors.abs().amax(-1)


@cache
def _places(k: int) -> Tensor:
    """Return where in the triangle the product of every two stands."""
    place = torch.arange(k, device="cpu")
    high = torch.maximum(place, place[:, None])
    return high * (high + 1) // 2 + torch.minimum(place, place[:, None])
