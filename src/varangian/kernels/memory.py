"""Memory: what the system is told about large vectors, where it listens."""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from typing import Any

import torch
from torch import Tensor

LARGE = 2**25
"""Bytes from which on memory is the system's each time, which makes each page when it is first written."""

POPULATE_WRITE = 23
"""What Linux calls the advice to make pages at once; Python has no name for it."""


def fresh(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return memory for a result beside a tensor; if it is large, its pages are large, and there already.

    Made one by one, they take as long as to read a dozen rows; and threads that write side by side each make
    a large page, of which one is thrown away.
    """
    made = like.new_empty(shape, dtype=dtype)
    if made.device.type == "cpu" and made.nbytes >= LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        _advise(made, mmap.MADV_HUGEPAGE)
        _advise(made, POPULATE_WRITE)
    return made


def let_go(part: Tensor) -> None:
    """Tell the system that these pages of a file are not needed; should they be, they are read again."""
    if hasattr(mmap, "MADV_DONTNEED") and part.numel():
        _advise(part, mmap.MADV_DONTNEED)


def _advise(part: Tensor, advice: int) -> None:
    """Give an advice on all pages of a tensor; the system need not follow it."""
    begin = part.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
    end = part.data_ptr() + part.numel() * part.element_size()
    _madvise()(begin, end - begin, advice)


@cache
def _madvise() -> Any:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise
