"""Mapped arrays as the files they are: where in which file a row begins, to be read without its map."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.compiled.jit import available

MAPS = Path("/proc/self/maps")
"""Where Linux tells which file is mapped where."""

ODD = 1088
"""Bytes between rows in a room: were they a power of two apart, they would share a few cache lines."""

AROUND = 2**16
"""Bytes around a page that Linux maps with it."""


class Filed:
    """Rows of a segment that are in open files as well.

    ``origins`` has the file and the byte where it begins for each, ``(n, 2)``; a number takes ``size`` bytes.
    """

    def __init__(self, origins: NDArray[np.int64], size: int) -> None:
        self.origins, self.size = origins, size
        self.source = np.array([_preadv(), origins.ctypes.data, len(origins), size], dtype=np.int64)

    def part(self, start: int) -> Filed:
        """Return the rows from some column on."""
        return Filed(self.origins + np.array([0, start * self.size]), self.size)

    def some(self, chosen: NDArray[np.intp]) -> Filed:
        """Return some of the rows."""
        return Filed(self.origins[chosen], self.size)

    def pitch(self, columns: int) -> int:
        """Return how many bytes a row takes in a room."""
        return -(-columns * self.size // 64) * 64 + ODD


class _Mapping(NamedTuple):
    """A stretch of memory, the byte of a file where it begins, and the file's device and number."""

    start: int
    stop: int
    offset: int
    device: int
    inode: int


@contextlib.contextmanager
def opened(lines: Sequence[Tensor], arrays: Sequence[Any]) -> Iterator[Filed | None]:
    """Open the files that mapped arrays are of, while this lasts; tell where in them the lines are.

    None if one is in no file that can be read, or is not the file that is mapped: it may have been replaced.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = _found(lines, arrays, stack) if _possible() else None
        except (AttributeError, OSError, ValueError):
            found = None
        yield found


def is_dear(line: Tensor) -> bool:
    """Touch the pages of a line that is mapped; tell whether the system had to be asked for few at a time.

    It is not where it holds a file in large pages, and maps each as it is: then no copy is as fast.
    """
    import resource  # which Windows has not

    looks = line[:: AROUND // line.element_size()]
    before = resource.getrusage(resource.RUSAGE_THREAD)
    looks.sum()
    after = resource.getrusage(resource.RUSAGE_THREAD)
    faults = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt
    return 2 * faults > len(looks)


def _found(lines: Sequence[Tensor], arrays: Sequence[Any], stack: contextlib.ExitStack) -> Filed | None:
    mappings, files = list(_mappings()), dict[str, tuple[int, os.stat_result]]()
    origins = np.empty((len(lines), 2), np.int64)
    for place, (line, array) in enumerate(zip(lines, arrays, strict=True)):
        if line.stride(0) != 1 or not array.filename:
            return None
        name = os.fspath(array.filename)
        if name not in files:
            handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            files[name] = handle, os.fstat(handle)
        handle, status = files[name]
        start, stop = line.data_ptr(), line.data_ptr() + line.numel() * line.element_size()
        home = next((one for one in mappings if one.start <= start and stop <= one.stop), None)
        if home is None or (home.device, home.inode) != (status.st_dev, status.st_ino):
            return None
        origins[place] = handle, home.offset + start - home.start
    return Filed(origins, lines[0].element_size())


def _mappings() -> Iterator[_Mapping]:
    """Yield what is mapped of files."""
    for told in MAPS.read_text().splitlines():
        span, _, offset, device, inode = told.split(maxsplit=5)[:5]
        if inode != "0":
            start, stop = (int(end, 16) for end in span.split("-"))
            major, minor = (int(part, 16) for part in device.split(":"))
            yield _Mapping(start, stop, int(offset, 16), os.makedev(major, minor), int(inode))


@cache
def _preadv() -> int:
    """Return where the system's function is. Raises AttributeError where it has none."""
    return ctypes.cast(ctypes.CDLL(None).preadv2, ctypes.c_void_p).value or 0


def _possible() -> bool:
    """Tell whether compiled code can be given the system's function, and Linux tells what is mapped."""
    return sys.platform == "linux" and sys.maxsize > 2**32 and available()
