"""The contents of a data set's files -> arrays of inputs and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from varangian.data.formats import parse_cifar, parse_idx, parse_libsvm
from varangian.data.source import Source
from varangian.errors import DataError


@dataclass(frozen=True, eq=False)
class Content:
    """The bytes of one part, and the file that they came from."""

    path: Path
    content: UInt8[np.ndarray, "bytes"]


@dataclass(frozen=True, eq=False)
class Arrays:
    """Inputs and labels as the files give them: bytes of pixels, or finished features."""

    train_inputs: UInt8[np.ndarray, "train *shape"] | Float32[np.ndarray, "train *shape"]
    train_labels: Int64[np.ndarray, "train"]
    test_inputs: UInt8[np.ndarray, "test *shape"] | Float32[np.ndarray, "test *shape"]
    test_labels: Int64[np.ndarray, "test"]


def decode(source: Source, contents: Sequence[Content]) -> Arrays:
    """Return the arrays that the parts of a data set hold, in the order of its layout."""
    match source.layout:
        case "idx":
            arrays = _decode_idx(source, contents)
        case "cifar":
            arrays = _decode_cifar(source, contents)
        case "libsvm":
            arrays = _decode_libsvm(source, contents)
        case _:
            raise DataError(f"{source.name} has the layout {source.layout!r}, which is in no file.")
    return arrays


def _decode_idx(source: Source, contents: Sequence[Content]) -> Arrays:
    train, test = (source.train_size,), (source.test_size,)
    pixels = source.input_shape[1:]  # the one grey channel is not in the file
    shapes = ((*train, *pixels), train, (*test, *pixels), test)
    arrays = [parse_idx(held.path, held.content, shape) for held, shape in zip(contents, shapes, strict=True)]
    for held, labels in zip(contents[1::2], arrays[1::2], strict=True):
        _check_labels(source, held.path, labels)
    images = [array.reshape(len(array), *source.input_shape) for array in arrays[::2]]
    return Arrays(images[0], arrays[1].astype(np.int64), images[1], arrays[3].astype(np.int64))


def _decode_cifar(source: Source, contents: Sequence[Content]) -> Arrays:
    batches = len(contents) - 1
    sizes = [source.train_size // batches] * batches + [source.test_size]
    images, labels = [], []
    for held, size in zip(contents, sizes, strict=True):
        pixels, classes = parse_cifar(
            held.path, held.content, (size, *source.input_shape), source.coarse_classes
        )
        _check_labels(source, held.path, classes)
        images.append(pixels)
        labels.append(classes.astype(np.int64))
    return Arrays(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


def _decode_libsvm(source: Source, contents: Sequence[Content]) -> Arrays:
    (held,) = contents
    samples = source.train_size + source.test_size
    inputs, raw = parse_libsvm(held.path, held.content, (samples, source.input_shape[0]))
    distinct, labels = np.unique(raw, return_inverse=True)
    if len(distinct) != source.classes or not np.isfinite(distinct).all():
        raise DataError(
            f"{held.path} has {len(distinct)} distinct labels ({', '.join(map(str, distinct[:5].tolist()))}"
            f"{', ...' if len(distinct) > 5 else ''}); {source.classes} finite ones are expected."
        )
    labels, cut = labels.astype(np.int64), source.train_size
    return Arrays(inputs[:cut], labels[:cut], inputs[cut:], labels[cut:])


def _check_labels(source: Source, path: Path, labels: UInt8[np.ndarray, "samples"]) -> None:
    if labels.max() >= source.classes:
        raise DataError(f"{path} holds the label {labels.max()}; they must lie in 0..{source.classes - 1}.")
