"""Arrays in files that strangers sent: their shape and place, and their numbers stretch by stretch.

Nothing is ever unpickled or believed: what a header says is held against the size of the file, and what is
packed is unpacked no further than it was asked for.
"""

from __future__ import annotations

import ast
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from varangian.errors import DataError

DTYPES = {"<u1": torch.uint8, "<f2": torch.float16, "<f4": torch.float32, "<f8": torch.float64}
OF_SAFETENSORS = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
MOST_HEADER = 1 << 24
"""Bytes that a header may have."""
MOST_SWELLING, SMALL = 50, 1 << 24
"""How many times its packed size an array may have, unless it is small; numbers that anybody trained pack
into no less than half of it."""
MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, eq=False)
class Stored:
    """An array in a file: its name there, shape and dtype, and how to read it.

    ``open`` returns a stream at the array's first byte; only a ``seekable`` one can be entered anywhere.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    open: Callable[[], BufferedIOBase]
    seekable: bool

    @property
    def size(self) -> int:
        """Return how many numbers there are."""
        return math.prod(self.shape)

    def rows(self, step: int) -> Iterator[Tensor]:
        """Yield blocks ``(n, c)`` of neighbouring columns of a matrix, at most ``step`` wide.

        Each is read to where the one before lay. A vector is a matrix of one row. Raises DataError.
        """
        n, d = self.shape if len(self.shape) > 1 else (1, self.size)
        itemsize = self.dtype.itemsize
        if not self.seekable and n > 1:
            raise DataError(
                f"{self.path}: {self.name!r} is a packed matrix, which cannot be read in columns. Save it "
                "with numpy.savez instead of savez_compressed, or one array per client."
            )
        with _blaming(self.path), self.open() as stream:
            first = stream.tell() if self.seekable else 0
            room = torch.empty(n, min(step, d), dtype=self.dtype)
            for start in range(0, d, step):
                block = room[:, : d - start]
                for i in range(n):
                    if self.seekable:
                        stream.seek(first + (i * d + start) * itemsize)
                    self._fill(block[i], stream)
                yield block

    def whole(self) -> Tensor:
        """Return all of it, in its shape."""
        made = torch.empty(self.size, dtype=self.dtype)
        with _blaming(self.path), self.open() as stream:
            self._fill(made, stream)
        return made.view(self.shape)

    def _fill(self, row: Tensor, stream: BufferedIOBase) -> None:
        room = memoryview(row.view(torch.uint8).numpy().data)
        while room:
            read = stream.readinto(room)
            if not read:
                raise DataError(f"{self.path} is truncated: {self.name!r} ends before its last number.")
            room = room[read:]


def arrays_of(path: Path) -> list[Stored]:
    """Return the arrays of a .npy, .npz or .safetensors file, in its order. Raises DataError."""
    with _blaming(path):
        match path.suffix:
            case ".npy":
                return [_npy(path, path.stem, partial(_stored, path, 0), path.stat().st_size, seekable=True)]
            case ".npz":
                return _npz(path)
            case ".safetensors":
                return _safetensors(path)
    raise DataError(f"{path} is no .npy, .npz or .safetensors file.")


def _npy(path: Path, name: str, opened: Callable[[], BufferedIOBase], size: int, *, seekable: bool) -> Stored:
    """Read the header of a NumPy array that takes ``size`` bytes."""
    with opened() as stream:
        start = stream.tell() if seekable else 0
        magic = stream.read(8)
        if magic[:6] != MAGIC:
            raise DataError(f"{path}: {name!r} is no NumPy array; it begins with {magic[:6]!r}.")
        length = int.from_bytes(stream.read(2 if magic[6] == 1 else 4), "little")
        if length > MOST_HEADER:
            raise DataError(f"{path}: the header of {name!r} claims {length} bytes.")
        text = stream.read(length).decode("latin-1")
    kind, shape, fortran = _header(path, name, text)
    if kind not in DTYPES:
        held = "Python objects, which only pickle reads: refused" if "O" in kind else f"of type {kind}"
        raise DataError(f"{path}: {name!r} holds {held}. Save vectors as float16, float32 or float64.")
    if fortran and len(shape) > 1:
        raise DataError(f"{path}: {name!r} is in Fortran order; save numpy.ascontiguousarray(...) of it.")
    offset = 8 + (2 if magic[6] == 1 else 4) + length
    dtype = DTYPES[kind]
    _hold(path, name, size - offset, math.prod(shape) * dtype.itemsize)

    def at_data() -> BufferedIOBase:
        stream = opened()
        stream.seek(start + offset) if seekable else stream.read(offset)
        return stream

    return Stored(path, name, shape, dtype, at_data, seekable)


def _header(path: Path, name: str, text: str) -> tuple[str, tuple[int, ...], bool]:
    try:
        told = ast.literal_eval(text.strip())
        kind, shape, fortran = told["descr"], told["shape"], told["fortran_order"]
        if all(isinstance(size, int) and size >= 0 for size in shape):
            return str(kind).replace("|", "<"), tuple(shape), bool(fortran)
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        pass
    raise DataError(f"{path}: the header of {name!r} is none that NumPy writes.")


def _npz(path: Path) -> list[Stored]:
    found = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                raise DataError(f"{path} holds {member.filename!r}, which is no NumPy array.")
            if member.file_size > max(SMALL, MOST_SWELLING * member.compress_size):
                raise DataError(
                    f"{path}: {name!r} would swell from {member.compress_size} to {member.file_size} bytes; "
                    "no vectors that anybody trained do. Refused."
                )
            if member.compress_type == zipfile.ZIP_STORED:
                opened = partial(_stored, path, _data_offset(path, archive, member))
                found.append(_npy(path, name, opened, member.file_size, seekable=True))
            else:
                opened = partial(_unpacking, path, member.filename)
                found.append(_npy(path, name, opened, member.file_size, seekable=False))
    return found


def _data_offset(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return where a stored member's bytes begin, which only its local header tells."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        local = stream.read(30)
        if local[:4] != b"PK\x03\x04":
            raise DataError(f"{path} is damaged: there is no member at byte {member.header_offset}.")
        start = member.header_offset + 30 + sum(int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
        if start + member.file_size > path.stat().st_size:
            raise DataError(f"{path} is truncated: {member.filename!r} goes on after its end.")
    return start


def _stored(path: Path, offset: int) -> BufferedIOBase:
    stream = path.open("rb")
    stream.seek(offset)
    return stream


def _unpacking(path: Path, member: str) -> BufferedIOBase:
    archive = zipfile.ZipFile(path)
    stream = cast(BufferedIOBase, archive.open(member))
    archive.close()  # the member keeps the file open for as long as it needs it
    return stream


def _safetensors(path: Path) -> list[Stored]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(MOST_HEADER, size - 8):
            raise DataError(f"{path}: the header claims {length} bytes of the {size} in the file.")
        try:
            told = json.loads(stream.read(length))
            entries = [(name, entry) for name, entry in told.items() if name != "__metadata__"]
            return [_tensor(path, name, entry, 8 + length, size) for name, entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{path}: its header is none that safetensors writes.") from None


def _tensor(path: Path, name: str, entry: Any, base: int, size: int) -> Stored:
    (start, stop), shape, kind = entry["data_offsets"], tuple(entry["shape"]), entry["dtype"]
    if kind not in OF_SAFETENSORS:
        raise DataError(f"{path}: {name!r} holds {kind}; save vectors as F16, BF16, F32 or F64.")
    numbers = (start, stop, *shape)
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or base + stop > size:
        raise DataError(f"{path}: {name!r} lies outside of the file.")
    dtype = OF_SAFETENSORS[kind]
    _hold(path, name, stop - start, math.prod(shape) * dtype.itemsize)
    return Stored(path, name, shape, dtype, partial(_stored, path, base + start), True)


def _hold(path: Path, name: str, there: int, claimed: int) -> None:
    """Hold what a header claims against what is there."""
    if there != claimed:
        raise DataError(
            f"{path}: the header of {name!r} claims {claimed} bytes of numbers, and there are {there}; it is "
            "truncated or forged."
        )


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong in a file into one error that names it."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise DataError(f"{path} is damaged: {str(error) or type(error).__name__}.") from None
