"""The published file formats: bytes -> arrays, every count and bound checked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from varangian.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)
_UNSIGNED_BYTES = 8  # idx's code for the type of its numbers


def parse_idx(
    path: Path, content: UInt8[np.ndarray, "bytes"], shape: tuple[int, ...]
) -> UInt8[np.ndarray, "..."]:
    """Return the array of an idx file, which must have this shape.

    >>> parse_idx(Path("x"), np.frombuffer(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), np.uint8), (2,))
    array([7, 9], dtype=uint8)
    """
    header = 4 * (1 + len(shape))
    numbers = np.frombuffer(content[:header].tobytes().ljust(header, b"\0"), ">u4")
    magic, found = int(numbers[0]), tuple(int(size) for size in numbers[1:])
    wanted = _UNSIGNED_BYTES << 8 | len(shape)
    if magic != wanted:
        raise DataError(
            f"{path} starts with the magic number {magic}; {wanted} is expected: unsigned bytes, "
            f"{len(shape)} axes."
        )
    if found != shape:
        raise DataError(f"{path} says that it holds an array of shape {found}; {shape} is expected.")
    _check_size(path, content, header + math.prod(shape))
    return content[header:].reshape(shape)


def parse_cifar(
    path: Path, content: UInt8[np.ndarray, "bytes"], shape: tuple[int, ...], coarse_classes: int = 0
) -> tuple[UInt8[np.ndarray, "samples c h w"], UInt8[np.ndarray, "samples"]]:
    """Return images and labels of the binary version; ``coarse_classes`` > 0 means two labels a record.

    ``shape`` is that of the images: (samples, c, h, w).
    """
    label_bytes = 2 if coarse_classes else 1
    record = label_bytes + math.prod(shape[1:])
    _check_size(path, content, shape[0] * record)
    records = content.reshape(shape[0], record)
    if coarse_classes and records[:, 0].max() >= coarse_classes:
        raise DataError(
            f"{path} holds the coarse label {records[:, 0].max()}; they must lie in 0..{coarse_classes - 1}."
        )
    return records[:, label_bytes:].reshape(shape), records[:, label_bytes - 1]


def parse_libsvm(
    path: Path, content: UInt8[np.ndarray, "bytes"], shape: tuple[int, int]
) -> tuple[Float32[np.ndarray, "samples features"], Float64[np.ndarray, "samples"]]:
    """Return inputs and raw labels of a sparse text of ``label index:value ...`` lines, indices from 1.

    >>> parse_libsvm(Path("x"), np.frombuffer(b"-1 2:0.5", np.uint8), (1, 3))
    (array([[0. , 0.5, 0. ]], dtype=float32), array([-1.]))
    """
    try:
        lines = content.tobytes().decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no plain text: byte {error.start} is {content[error.start]}.") from error
    samples, features = shape
    if len(lines) != samples:
        raise DataError(f"{path} has {len(lines)} lines; {samples} are expected, one a sample.")
    inputs, labels = np.zeros(shape, np.float32), np.empty(samples)
    for row, line in enumerate(lines):
        try:
            labels[row] = _parse_line(line, inputs[row])
        except ValueError as error:
            raise DataError(
                f"{path}, line {row + 1}: {error}; expected 'label index:value ...', indices rising from 1 "
                f"to at most {features}, values finite."
            ) from error
    return inputs, labels


def _parse_line(line: str, row: Float32[np.ndarray, "features"]) -> float:
    """Write the values of one line into a row of zeros, and return its label."""
    label, *pairs = line.split() or [""]
    last = 0
    for pair in pairs:
        index, _, value = pair.partition(":")
        place, number = int(index), float(value)
        if not last < place <= len(row):
            raise ValueError(f"index {place} follows index {last}")
        if not abs(number) <= _LARGEST:
            raise ValueError(f"value {value} at index {place}")
        row[place - 1] = number
        last = place
    return float(label)


def _check_size(path: Path, content: UInt8[np.ndarray, "bytes"], size: int) -> None:
    if len(content) != size:
        state = "is truncated: it" if len(content) < size else ""
        raise DataError(f"{path} {state} holds {len(content)} bytes; {size} are expected.".replace("  ", " "))
