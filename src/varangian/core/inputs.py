"""The guard's first half: read what the caller holds as rows, and give the same kind back."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from varangian.core.blocks import InBlocks
from varangian.core.leaves import as_tensor, check_dtype, is_array, like
from varangian.core.shards import InShards
from varangian.core.vectors import Vectors
from varangian.errors import DtypeError, InputError, ShapeError
from varangian.kernels.rows import Segment
from varangian.kernels.streams import is_mapped, of_file

AXES_OF_VECTORS = 2


@dataclass(frozen=True, eq=False)
class Stacks:
    """Matrices ``(*batch, k, d)`` of one dtype that stand one below the other without being put there."""

    parts: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Swapped(Segment):
    """Vectors in a file, in another order of bytes: the tensors have but their place, until they are read."""

    array: NDArray[Any]

    def part(self, start: int, stop: int) -> Segment:
        """Return some columns, in this machine's order of bytes."""
        return Segment(as_tensor(self.array[:, start:stop]))

    def columns(self, start: int, stop: int) -> Tensor:
        """Return the same in the working dtype."""
        return self.part(start, stop).columns(0, stop - start)


def read(x: Any) -> Vectors:
    """Read ``(*batch, n, d)``, n vectors, parameter lists or state dicts, or blocks, as rows; copy nothing.

    Raises ShapeError and DtypeError, which name the offending vector.
    """
    if is_array(x):
        return _read_matrix(x)
    if isinstance(x, InBlocks):
        return _read_blocks(x)
    if isinstance(x, InShards):
        return replace(read(x.vectors), summed=x.summed)
    if isinstance(x, Stacks):
        return replace(_read_matrix(x.parts[0]), segments=(Segment(x.parts),))
    if isinstance(x, (list, tuple)):
        return _read_sequence(x)
    raise InputError(
        f"Vectors arrived as {type(x).__name__}; pass a torch, NumPy or JAX array (..., n, d), "
        "a list of n vectors, parameter lists or state dicts, InBlocks, or InShards."
    )


def check_writable(out: Any) -> None:
    """Refuse what must not be written: arrays of JAX, and of NumPy those that are read-only or swapped.

    Raises InputError.
    """
    leaves = out.values() if isinstance(out, Mapping) else out if isinstance(out, (list, tuple)) else [out]
    for leaf in leaves:
        if not (isinstance(leaf, Tensor) or (isinstance(leaf, np.ndarray) and leaf.flags.writeable)):
            raise InputError(
                f"out= holds a {type(leaf).__name__} that cannot be written; pass PyTorch tensors, or NumPy "
                "arrays that are not read-only."
            )
        if isinstance(leaf, np.ndarray) and not leaf.dtype.isnative:
            raise InputError(
                f"out= is of dtype {leaf.dtype.str}, and no result is written in that order of bytes; pass "
                f"an array of dtype {leaf.dtype.newbyteorder('=')}."
            )


def _read_matrix(x: Any) -> Vectors:
    segment = _swapped(x) or Segment(as_tensor(x))
    lines = len(segment.sample) if segment.sample.ndim == AXES_OF_VECTORS else 0
    return replace(_as_matrix(segment, x), source=of_file(segment, [x] * lines))


def _swapped(x: Any) -> Segment | None:
    if isinstance(x, np.memmap) and x.ndim == AXES_OF_VECTORS and not x.dtype.isnative:
        place = as_tensor(x.view(x.dtype.newbyteorder("=")))
        if is_mapped(x, place):
            return Swapped(place, x)
    return None


def _as_matrix(segment: Segment, x: Any) -> Vectors:
    tensor = segment.sample
    if tensor.ndim < AXES_OF_VECTORS:
        raise ShapeError(
            f"An array of shape {tuple(tensor.shape)} arrived; n vectors of d coordinates need "
            "shape (..., n, d). One vector alone is x[None, :]."
        )
    check_dtype(tensor.dtype, "An array")
    if tensor.shape[-2] == 0:
        raise ShapeError("No vectors arrived: the array has n = 0 rows.")

    def back(parts: Sequence[Tensor]) -> Any:
        return like(parts[0], x)

    def one(vector: Any) -> list[Tensor]:
        extra = _leaf_of_extra(vector)
        if extra.ndim == 0 or extra.shape not in (tensor.shape[-1:], (*tensor.shape[:-2], tensor.shape[-1])):
            raise ShapeError(
                f"The extra vector has shape {tuple(extra.shape)}; the vectors have {tensor.shape[-1]} "
                f"coordinates, so it needs shape {(*tensor.shape[:-2], tensor.shape[-1])}."
            )
        return [extra]

    return Vectors((segment,), back, back, one)


def _read_blocks(x: InBlocks) -> Vectors:
    n, d = x.checked_shape()
    high = n + bool(x.pivot)

    def opened(block: Any) -> Tensor:
        if not is_array(block):
            raise InputError(f"A block is a {type(block).__name__}; blocks are arrays ({high}, columns).")
        return as_tensor(block)

    first = x.first()
    sample = opened(first).new_empty(1)
    outline = sample.expand(n, d)
    plain = _as_matrix(Segment(outline), like(sample, first))

    def blocks() -> Iterator[Segment]:
        for block in x.blocks():
            tensor = opened(block)
            if tensor.ndim != AXES_OF_VECTORS or tensor.shape[0] != high or tensor.dtype != outline.dtype:
                more = " and a pivot" if x.pivot else ""
                raise ShapeError(
                    f"A block of shape {tuple(tensor.shape)} and {tensor.dtype} arrived; the first was "
                    f"{outline.dtype}, and {n} vectors{more} need blocks of shape ({high}, columns)."
                )
            yield Segment(tensor)

    return replace(plain, source=blocks, outlined=True, pivoted=bool(x.pivot))


def _read_sequence(x: Sequence[Any]) -> Vectors:
    if not x:
        raise ShapeError("No vectors arrived: the list is empty.")
    first = x[0]
    if is_array(first):
        keys: list[Any] = [None]
    elif isinstance(first, Mapping):
        keys = list(first)
    elif isinstance(first, (list, tuple)):
        keys = list(range(len(first)))
    else:
        raise InputError(
            f"A list of {type(first).__name__} arrived; each of the n entries must be an array, "
            "a list of arrays, or a state dict."
        )
    if not keys:
        raise ShapeError("The first vector has no entries.")
    for i, entry in enumerate(x):
        _check_entry(i, entry, first, keys)
    segments = tuple(Segment(tuple(_leaf(x, i, key) for i in range(len(x)))) for key in keys)

    def pack(parts: Sequence[Tensor]) -> Any:
        leaves = [_unflatten(part, _get(first, key)) for part, key in zip(parts, keys, strict=True)]
        if keys == [None]:
            return leaves[0]
        return _rebuilt(first, keys, leaves)

    def pack_many(parts: Sequence[Tensor]) -> Any:
        return [pack([part[i] for part in parts]) for i in range(parts[0].shape[0])]

    def one(vector: Any) -> list[Tensor]:
        _check_entry(-1, vector, first, keys)
        leaves = [_leaf_of_extra(_get(vector, key)) for key in keys]
        for key, leaf in zip(keys, leaves, strict=True):
            wanted = as_tensor(_get(first, key)).shape
            if leaf.shape != wanted:
                raise ShapeError(
                    f"{_name(-1, key)} has shape {tuple(leaf.shape)}; vector 0 has {tuple(wanted)}."
                )
        return [leaf.reshape(-1) for leaf in leaves]

    source = of_file(segments[0], x) if keys == [None] else None
    return Vectors(segments, pack, pack_many, one, source)


def _rebuilt(first: Any, keys: list[Any], leaves: list[Any]) -> Any:
    """Return a container of the kind of the first vector, or a plain one if its class cannot be made so."""
    if isinstance(first, tuple) and hasattr(first, "_make"):
        return first._make(leaves)
    if not isinstance(first, Mapping):
        return _made(type(first), leaves) or leaves
    plain = dict(zip(keys, leaves, strict=True))
    begin = (first.default_factory,) if isinstance(first, defaultdict) else ()
    for given in (plain.items(), plain):
        made = _made(type(first), *begin, given)
        if made is not None and list(made) == keys and all(made[key] is plain[key] for key in keys):
            return made
    return plain


def _made(kind: Any, *given: Any) -> Any:
    with contextlib.suppress(Exception):  # a class may ask for anything
        return kind(*given)


def _get(entry: Any, key: Any) -> Any:
    return entry if key is None else entry[key]


def _name(i: int, key: Any) -> str:
    vector = f"Vector {i}" if i >= 0 else "The extra vector"
    return vector if key is None else f"{vector}, entry {key!r}"


def _check_entry(i: int, entry: Any, first: Any, keys: list[Any]) -> None:
    if keys == [None]:
        if not is_array(entry):
            raise InputError(
                f"{_name(i, None)} is a {type(entry).__name__}; vector 0 is an array. Pass one kind."
            )
        return
    if isinstance(first, Mapping) != isinstance(entry, Mapping) or not isinstance(
        entry, (Mapping, list, tuple)
    ):
        raise InputError(
            f"{_name(i, None)} is a {type(entry).__name__}; vector 0 is a {type(first).__name__}. "
            "Pass one kind."
        )
    theirs = set(entry) if isinstance(entry, Mapping) else set(range(len(entry)))
    if theirs != set(keys):
        odd = sorted(map(repr, theirs ^ set(keys)))
        raise ShapeError(f"{_name(i, None)} and vector 0 differ in their entries: {', '.join(odd[:5])}.")


def _leaf(x: Sequence[Any], i: int, key: Any) -> Tensor:
    leaf, reference = _get(x[i], key), _get(x[0], key)
    if not is_array(leaf):
        raise InputError(f"{_name(i, key)} is a {type(leaf).__name__}; it must be an array.")
    tensor, wanted = as_tensor(leaf), as_tensor(reference)
    check_dtype(tensor.dtype, _name(i, key))
    if tensor.shape != wanted.shape:
        raise ShapeError(
            f"{_name(i, key)} has shape {tuple(tensor.shape)}; vector 0 has {tuple(wanted.shape)}. "
            "All vectors need the same length."
        )
    if key is None and tensor.ndim == 0:
        raise ShapeError(f"{_name(i, key)} is a single number; each vector needs at least one axis.")
    if tensor.dtype != wanted.dtype or tensor.device != wanted.device:
        raise DtypeError(
            f"{_name(i, key)} is {tensor.dtype} on {tensor.device}; vector 0 is {wanted.dtype} on "
            f"{wanted.device}. Convert them to one dtype and device."
        )
    return tensor.reshape(-1)


def _leaf_of_extra(vector: Any) -> Tensor:
    if not is_array(vector):
        raise InputError(
            f"The extra vector is a {type(vector).__name__}; it must be of the same kind as the vectors."
        )
    tensor = as_tensor(vector)
    check_dtype(tensor.dtype, "The extra vector")
    return tensor


def _unflatten(part: Tensor, leaf: Any) -> Any:
    return like(part.reshape(as_tensor(leaf).shape), leaf)
