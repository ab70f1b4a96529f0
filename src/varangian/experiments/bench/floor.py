"""The read floor: the time in which this machine loads a table's bytes once, by the fastest of a few ways.

The ways: straight on, or strip by strip through all rows, in compiled code that does nothing else; and
PyTorch's sum. All lanes read, as all lanes aggregate. Nothing is written, so that the floor lies below what
any rule can reach, by about one part in n. Of a table that the caches hold, the call takes the time, not the
bytes: the sum is one call there, and another operator's call may take a little less.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.reading import reading_code, reading_part_code, strip_bytes
from varangian.kernels.compiled.tiles import address_of
from varangian.kernels.helpers import together
from varangian.kernels.lanes import lanes, shared

PIECE = 2**21
"""Bytes that a lane reads at a time: as many as it aggregates in float32."""

_P, _N = ctypes.c_void_p, ctypes.c_int64
_reading = Compiler(reading_code, ctypes.c_int32, _P, *[_N] * 3, _P)
_part = Compiler(reading_part_code, _N, _P, _N, _P)


def ways(x: Float[Tensor, "n d"]) -> dict[str, Callable[[], object]]:
    """Return the ways in which this table can be read, by their names."""
    made: dict[str, Callable[[], object]] = {"torch.sum": lambda: _sum(x)}
    if x.device.type != "cpu" or not x.is_contiguous() or not available():
        return made
    for wide in (False, True):
        strip = strip_bytes(wide)
        if strip <= x.shape[1] * x.element_size():
            made[f"strips of {strip} bytes"] = partial(read_in_strips, x, wide)
            made["straight on"] = partial(read_in_strips, x.view(1, -1), wide)
    return made


def read_in_strips(x: Float[Tensor, "n d"], wide: bool) -> int:
    """Read all bytes of every row, and return their exclusive or.

    Where strips do not come out even, the last one is counted twice.
    """
    n, width, strip = len(x), x.shape[1] * x.element_size(), strip_bytes(wide)
    table = x.data_ptr() + np.arange(n, dtype=np.uint64) * np.uint64(x.stride(0) * x.element_size())
    step = max(1, PIECE // (n * strip)) * strip
    count = -(-width // step)
    sinks = np.zeros((2 * count, processor().register_bytes), np.uint8)
    args = np.array(
        [address_of(_reading(wide)), table.ctypes.data, n, step, width, strip, sinks.ctypes.data],
        dtype=np.int64,
    )
    together(_part(), args, count, min(lanes(), count) - 1)
    return int(np.bitwise_xor.reduce(sinks, axis=None))


def _sum(x: Tensor) -> Tensor:
    step = max(1, PIECE // x.element_size())
    flat = x.reshape(-1)
    if len(flat) <= step:
        return flat.sum()
    parts = shared(lambda start: flat[start : start + step].sum(), range(0, len(flat), step))
    return torch.stack(parts).sum()
