"""Values as bits: in the format of floating point, or as whole numbers of k bits over a range."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from varangian.errors import DtypeError

WORDS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


def word_size(dtype: torch.dtype) -> int:
    """Return the bits of a floating-point number. Raises DtypeError."""
    if dtype not in WORDS:
        raise DtypeError(f"Values are {dtype}; bits are flipped of {', '.join(map(str, WORDS))} only.")
    return dtype.itemsize * 8


def flipped(values: Float[Tensor, "*shape"], bit: Int64[Tensor, "*places"]) -> Float[Tensor, "*both"]:
    """Return values of which one bit each, 0 the least, is the other; they may not be finite.

    >>> flipped(torch.tensor([1.0, 1.0]), torch.tensor([31, 23]))
    tensor([-1.0000,  0.5000])
    """
    word = WORDS[values.dtype]
    last = torch.iinfo(word).bits - 1
    # The sign's mask is no positive number of that type.
    mask = torch.where(bit == last, torch.iinfo(word).min, torch.ones_like(bit) << bit.clamp(max=last - 1))
    values, mask = torch.broadcast_tensors(values, mask.to(word))
    turned: Tensor = values.contiguous().view(word) ^ mask
    return turned.view(values.dtype)


def step(low: float, high: float, bits: int) -> float:
    """Return the distance of the 2^k values that k bits stand for, from low to high."""
    return (high - low) / float(2**bits - 1)


def rounded(values: Float[Tensor, "*shape"], low: float, high: float, bits: int) -> Float[Tensor, "*shape"]:
    """Return the nearest of the values that k bits stand for.

    >>> rounded(torch.tensor([0.1, 0.4, 7.0]), 0.0, 1.0, bits=2)
    tensor([0.0000, 0.3333, 1.0000])
    """
    return _decoded(_code(values, low, high, bits), low, high, bits)


def code_flipped(
    values: Float[Tensor, "*shape"], bit: Int64[Tensor, "*places"], low: float, high: float, bits: int
) -> Float[Tensor, "*both"]:
    """Return values rounded to k bits, of which one bit each is the other.

    >>> code_flipped(torch.tensor([0.0, 1.0]), torch.tensor([1, 0]), 0.0, 1.0, bits=2)
    tensor([0.6667, 0.6667])
    """
    code = _code(values, low, high, bits).long()
    return _decoded((code ^ (torch.ones_like(bit) << bit)).to(values.dtype), low, high, bits)


def _code(values: Float[Tensor, "*shape"], low: float, high: float, bits: int) -> Float[Tensor, "*shape"]:
    if high <= low:
        return torch.zeros_like(values)
    return ((values.clamp(low, high) - low) / step(low, high, bits)).round()


def _decoded(code: Float[Tensor, "*shape"], low: float, high: float, bits: int) -> Float[Tensor, "*shape"]:
    return low + code * step(low, high, bits)
