"""What the system is told of memory: which pages are not needed any more, and which will be."""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from torch import Tensor

from varangian.kernels.lanes import meanwhile

MANY = 2**22
"""Bytes whose pages are made at a time."""

POPULATE_WRITE = 23
"""What Linux calls MADV_POPULATE_WRITE, which the module ``mmap`` does not know."""


def let_go(parts: Sequence[Tensor]) -> None:
    """Tell the system that these pages of files are not needed."""
    for part in parts:
        if _advise() is not None and part.numel():
            _tell(part.data_ptr(), part.numel() * part.element_size(), mmap.MADV_DONTNEED)


@contextmanager
def made_ready(outputs: Sequence[Tensor]) -> Iterator[None]:
    """Let a thread have the pages of outputs made, while this lasts: so who writes there need not wait.

    A fresh page costs more than what is written to it; one after the other, it costs half as much again.
    """
    over = threading.Event()
    large = [output for output in outputs if output.is_contiguous() and output.nbytes >= MANY]
    possible = sys.platform == "linux" and all(output.device.type == "cpu" for output in large)
    promise = meanwhile(lambda: _make(large, over)) if large and possible else None
    try:
        yield
    finally:
        over.set()
        if promise is not None and not promise.cancel():
            promise.result()


def _make(outputs: Sequence[Tensor], over: threading.Event) -> None:
    for output in outputs:
        for start in range(0, output.nbytes, MANY):
            if over.is_set():
                return
            _tell(output.data_ptr() + start, min(MANY, output.nbytes - start), POPULATE_WRITE)


def _tell(start: int, size: int, what: int) -> None:
    begin = start // mmap.PAGESIZE * mmap.PAGESIZE
    _advise()(begin, start + size - begin, what)


@cache
def _advise() -> Any:
    """Return the system's madvise, or None where there is none."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return None
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise
