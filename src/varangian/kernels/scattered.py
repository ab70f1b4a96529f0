"""Products of samples that lie anywhere in a larger tensor, each read where it lies."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.matrices import outer_code, product_code
from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.products import WORTHWHILE

_P, _I = ctypes.c_void_p, ctypes.c_int64
_SIGNATURE = (_P, _P, _P, *[_I] * 5, _P, _P)
_product = Compiler(product_code, None, *_SIGNATURE)
_outer = Compiler(outer_code, None, *_SIGNATURE)

SOME = 768
"""Samples of which the products are in a cache until they are whole."""


@dataclass(frozen=True, eq=False)
class Scattered:
    """Some samples of a tensor, by their places in it.

    >>> some = Scattered(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2, 0], [1, 1]]))
    >>> some[0].gathered()
    tensor([[3.],
            [1.]])
    """

    source: Float[Tensor, "samples ..."]
    index: Int64[Tensor, "..."]

    @classmethod
    def of(cls, samples: Float[Tensor, "g samples width"]) -> Scattered:
        """Return samples that lie beside each other."""
        places = torch.arange(samples.shape[:2].numel(), device=samples.device)
        return cls(samples.flatten(0, 1), places.view(samples.shape[:2]))

    def __getitem__(self, where: int | slice | tuple[int | slice, ...]) -> Scattered:
        """Return some of them."""
        return Scattered(self.source, self.index[where])

    def gathered(self) -> Tensor:
        """Return the samples themselves, beside each other."""
        flat = self.source.index_select(0, self.index.reshape(-1))
        return flat.view(*self.index.shape, *self.source.shape[1:])

    @property
    def width(self) -> int:
        """Return how many numbers a sample has."""
        return self.source[0].numel()

    def readable(self, outputs: int) -> bool:
        """Tell whether compiled code may read them, and is worth it for a layer with so many outputs.

        It depends on what one group of the last axis needs, whatever is computed beside it.
        """
        source = self.source
        known = source.dtype in (torch.float32, torch.float64) and source.device.type == "cpu"
        worth = self.index.shape[-1] * outputs * self.width >= WORTHWHILE
        return known and worth and source.is_contiguous() and available()

    @cached_property
    def places(self) -> NDArray[np.uint64]:
        """Return the address of every sample, one after the other."""
        step = self.width * self.source.element_size()
        return (self.index.reshape(-1).numpy() * step + self.source.data_ptr()).astype(np.uint64)

    def linear(
        self, weight: Float[Tensor, "outputs width"], bias: Float[Tensor, " outputs"] | None
    ) -> Float[Tensor, "count outputs"]:
        """Return every sample times the transposed weight, plus the bias."""
        outputs, width = weight.shape
        made = weight.new_empty(self.index.numel(), outputs)
        across = weight.T.contiguous()
        first = weight.new_zeros(outputs) if bias is None else bias.contiguous()
        rows = _addresses(across)
        kernel = _product(name_of(weight.dtype), outputs)
        sizes, step = (width, outputs, 0, first.data_ptr(), None), outputs * made.element_size()
        for start in range(0, len(made), SOME):
            given = self.places.ctypes.data + 8 * start, rows.ctypes.data, made.data_ptr() + step * start
            kernel(*given, 1, min(SOME, len(made) - start), *sizes)
        return made

    def outer_sums(
        self, delta: Float[Tensor, "g samples outputs"], out: Float[Tensor, "g outputs width"]
    ) -> Float[Tensor, " g"]:
        """Write the sums over a group's samples of the outer products of delta and them.

        Return the squared norm of every group's sum, in float64.
        """
        groups, samples, outputs = delta.shape
        squares = torch.empty(groups, dtype=torch.float64, device=out.device)
        delta, nothing = delta.contiguous(), delta.new_zeros(self.width)
        rows = _addresses(delta.flatten(0, 1))
        kernel = _outer(name_of(delta.dtype), self.width)
        given = rows.ctypes.data, self.places.ctypes.data, out.data_ptr()
        sizes = groups, outputs, samples, out.stride(1), out.stride(0)
        kernel(*given, *sizes, nothing.data_ptr(), squares.data_ptr())
        return squares


def _addresses(rows: Float[Tensor, "n width"]) -> NDArray[np.uint64]:
    """Return where every row of a matrix in one piece begins."""
    step = rows.shape[1] * rows.element_size()
    return (np.arange(len(rows), dtype=np.int64) * step + rows.data_ptr()).astype(np.uint64)
