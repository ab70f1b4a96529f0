"""Every column by itself: a program over rows or over a block, compiled where that is possible."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from varangian.kernels import eager
from varangian.kernels.compiled.columns import column_code, tile_columns
from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.tasks import Stretch, addresses, carry_out, name_of, scratch, stretches
from varangian.kernels.programs import Program
from varangian.kernels.rows import Rows, sound

_compiled = Compiler(
    column_code,
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def reducible(rows: Rows) -> bool:
    """Tell whether programs over these rows can be compiled."""
    return rows.n <= eager.LONGEST_NETWORK and rows.sanitise and rows.adjacent and available()


def reduce(program: Program, rows: Rows, outputs: Sequence[Tensor]) -> None:
    """Write what a program makes of every column, one output ``(*batch, d)`` per segment; reads once."""
    rows.reads += 1
    kernels = [kernel_of(program, rows.n, name_of(segment.sample.dtype)) for segment in rows.segments]
    tables = [addresses(segment.vectors) for segment in rows.segments]
    targets = [output.view(-1, output.shape[-1]) for output in outputs]

    def work(stretch: Stretch) -> Tensor | None:
        segment, run, start, stop = stretch
        out = targets[segment][run]
        if kernels[segment].cover(tables[segment][run], start, stop, out):
            return None
        values, counts = sound(rows.segments[segment].of_run(run).columns(start, stop))
        out[start:stop] = reduced(program, values)
        return counts

    parts = list(stretches(rows, [kernel.tile for kernel in kernels]))
    for part, counts in zip(parts, carry_out(work, parts, rows.n), strict=True):
        if counts is not None:
            rows.count(part.run, counts)


def reduced(program: Program, values: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch c"]:
    """Return what a program makes of every column of a block, in the block's dtype or in float64."""
    *batch, n, width = values.shape
    if values.device.type != "cpu" or n > eager.LONGEST_NETWORK or not available():
        return eager.reduced(program, values)
    kernel = kernel_of(program, n, name_of(values.dtype))
    padded = functional.pad(values, (0, max(0, kernel.tile - width))).contiguous()
    out = padded.new_empty(*batch, padded.shape[-1])
    for table, target in zip(addresses(padded), out.view(-1, out.shape[-1]), strict=True):
        if not kernel.cover(table, 0, len(target), target):
            return eager.reduced(program, values)
    return out[..., :width]


class Kernel:
    """The function for a program over n rows of a dtype."""

    def __init__(self, program: Program, n: int, element: str) -> None:
        self.tile = tile_columns(n, element)
        self.room = 8 * n * self.tile
        self.call = _compiled(program, n, element)

    def cover(self, table: NDArray[np.uint64], start: int, stop: int, out: Tensor) -> bool:
        """Do some columns, and again a few before them; tell whether all went well.

        It does not where there are fewer columns than a tile has, or where a value is not finite.
        """
        if stop < self.tile:
            return False
        rows, target, room = table.ctypes.data, out.data_ptr(), scratch(self.room)
        whole = start + (stop - start) // self.tile * self.tile
        bad = self.call(rows, start, whole, target, room) if whole > start else 0
        bad += self.call(rows, stop - self.tile, stop, target, room) if whole < stop else 0
        return not bad


@cache
def kernel_of(program: Program, n: int, element: str) -> Kernel:
    """Return the function for a program over n rows of a dtype."""
    return Kernel(program, n, element)
