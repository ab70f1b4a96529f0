"""The read floor: the time in which this machine loads a table's bytes once, by the fastest of a few ways.

The ways: row after row, or strip by strip through all rows, in compiled code that does nothing else, and
PyTorch's sum. All lanes read, as all lanes aggregate. Nothing is written, so that the floor lies below what
any rule can reach, by about one part in n.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.experiments.bench.timing import timed
from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.reading import reading_code, strip_bytes
from varangian.kernels.lanes import each

PIECE = 2**22
"""Bytes that a lane reads at a time."""
TRIES = 3

_compiled = Compiler(
    reading_code,
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
)


def fastest_way(x: Float[Tensor, "n d"]) -> tuple[str, Callable[[], object]]:
    """Return the way that reads this table fastest, by its name; compiled beforehand, and tried out."""
    ways = dict(_ways(x))
    for read in ways.values():
        read()
    best = min(ways, key=lambda name: min(timed(ways[name]).wall for _ in range(TRIES)))
    return best, ways[best]


def _ways(x: Tensor) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "torch.sum", lambda: _sum(x)
    if x.device.type != "cpu" or x.stride(1) != 1 or not available():
        return
    for wide in (False, True):
        strip = strip_bytes(wide)
        if strip <= x.shape[1] * x.element_size():
            yield f"strips of {strip} bytes", lambda wide=wide: read_in_strips(x, wide)
            if wide:
                yield "row after row", lambda: read_in_strips(x, True, by_row=True)


def read_in_strips(x: Float[Tensor, "n d"], wide: bool, *, by_row: bool = False) -> int:
    """Read every byte, some bytes of a few columns twice; return how many there are."""
    n, width, strip = len(x), x.shape[1] * x.element_size(), strip_bytes(wide)
    call = _compiled(wide)
    table = x.data_ptr() + np.arange(n, dtype=np.uint64) * np.uint64(x.stride(0) * x.element_size())
    step = max(1, PIECE // (n * strip)) * strip

    def read(first: int) -> None:
        sink = np.empty(processor().register_bytes, np.uint8)
        last = min(first + step, width)
        whole = first + (last - first) // strip * strip
        for rows, count in ((table[row:], 1) for row in range(n)) if by_row else ((table, n),):
            if whole > first:
                call(rows.ctypes.data, count, first, whole, sink.ctypes.data)
            if last > whole:
                call(rows.ctypes.data, count, width - strip, width, sink.ctypes.data)

    each(read, range(0, width, step))
    return n * width


def _sum(x: Tensor) -> Tensor:
    step = max(1, PIECE // (len(x) * x.element_size()))
    parts = each(lambda start: x[:, start : start + step].sum(), range(0, x.shape[1], step))
    return torch.stack(parts).sum()
