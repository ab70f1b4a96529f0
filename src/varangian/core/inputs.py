"""The guard's first half: read what the caller holds as rows, and give the same kind back."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from varangian.core.blocks import InBlocks
from varangian.core.shards import InShards
from varangian.core.vectors import Vectors
from varangian.errors import DtypeError, InputError, ShapeError
from varangian.kernels.rows import WORKING_DTYPES, Segment
from varangian.kernels.streams import of_file

AXES_OF_VECTORS = 2


@dataclass(frozen=True, eq=False)
class Stacks:
    """Matrices ``(*batch, k, d)`` of one dtype that stand one below the other without being put there."""

    parts: tuple[Tensor, ...]


def read(x: Any) -> Vectors:
    """Read ``(*batch, n, d)``, n vectors, parameter lists or state dicts, or blocks, as rows; copy nothing.

    Raises ShapeError and DtypeError, which name the offending vector.
    """
    if _is_array(x):
        return _read_matrix(x)
    if isinstance(x, InBlocks):
        return _read_blocks(x)
    if isinstance(x, InShards):
        return replace(read(x.vectors), source=None, summed=x.summed)
    if isinstance(x, Stacks):
        return replace(_read_matrix(x.parts[0]), segments=(Segment(x.parts),))
    if isinstance(x, (list, tuple)):
        return _read_sequence(x)
    raise InputError(
        f"Vectors arrived as {type(x).__name__}; pass a torch, NumPy or JAX array (..., n, d), "
        "a list of n vectors, parameter lists or state dicts, InBlocks, or InShards."
    )


def as_tensor(leaf: Any) -> Tensor:
    """View a torch, NumPy or JAX array as a tensor without copying where memory allows."""
    if isinstance(leaf, Tensor):
        if leaf.layout is not torch.strided or leaf.is_meta:
            kind = "meta" if leaf.is_meta else str(leaf.layout).removeprefix("torch.")
            raise InputError(f"A {kind} tensor arrived, which cannot be read in columns; pass a dense one.")
        return leaf.detach() if leaf.requires_grad else leaf
    if isinstance(leaf, np.ndarray):
        return _from_numpy(leaf)
    return from_dlpack(leaf)


def check_writable(out: Any) -> None:
    """Refuse what must not be written: arrays of JAX, and read-only ones of NumPy. Raises InputError."""
    leaves = out.values() if isinstance(out, Mapping) else out if isinstance(out, (list, tuple)) else [out]
    for leaf in leaves:
        if not (isinstance(leaf, Tensor) or (isinstance(leaf, np.ndarray) and leaf.flags.writeable)):
            raise InputError(
                f"out= holds a {type(leaf).__name__} that cannot be written; pass PyTorch tensors, or NumPy "
                "arrays that are not read-only."
            )


def like(result: Tensor, leaf: Any) -> Any:
    """Hand a tensor back in the kind of ``leaf``."""
    if isinstance(leaf, Tensor):
        return result
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.name == "bfloat16":
            return result.view(torch.int16).numpy().view(leaf.dtype)
        return result.numpy().astype(leaf.dtype, copy=False)
    return sys.modules["jax"].dlpack.from_dlpack(result.contiguous())


def _is_array(x: Any) -> bool:
    if isinstance(x, (Tensor, np.ndarray)):
        return True
    return "jax" in sys.modules and isinstance(x, sys.modules["jax"].Array)


def _from_numpy(array: NDArray[Any]) -> Tensor:
    if array.dtype.name == "bfloat16":
        return _from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise DtypeError(
            f"Vectors of NumPy dtype {array.dtype} cannot be aggregated; convert them to float32 or float64."
        )
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _check_dtype(dtype: torch.dtype, where: str) -> None:
    if dtype not in WORKING_DTYPES:
        name = str(dtype).removeprefix("torch.")
        counters = " Counters of a state dict are no coordinates: leave them out." if "entry" in where else ""
        raise DtypeError(
            f"{where} of dtype {name} cannot be aggregated; "
            f"convert to float16, bfloat16, float32 or float64, for instance with .float().{counters}"
        )


def _read_matrix(x: Any) -> Vectors:
    tensor = as_tensor(x)
    if tensor.ndim < AXES_OF_VECTORS:
        raise ShapeError(
            f"An array of shape {tuple(tensor.shape)} arrived; n vectors of d coordinates need "
            "shape (..., n, d). One vector alone is x[None, :]."
        )
    _check_dtype(tensor.dtype, "An array")
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

    segment = Segment(tensor)
    source = of_file(segment, [x] * len(tensor)) if tensor.ndim == AXES_OF_VECTORS else None
    return Vectors((segment,), back, back, one, source)


def _read_blocks(x: InBlocks) -> Vectors:
    n, d = _shape_of_blocks(x.shape)
    high = n + bool(x.pivot)
    first = next(iter(x.make()), None)
    if not _is_array(first):
        raise InputError(f"The first block is a {type(first).__name__}; blocks are arrays ({high}, columns).")
    outline = as_tensor(first).new_empty(1).expand(n, d)
    plain = _read_matrix(like(outline, first))

    def blocks() -> Iterator[Segment]:
        for block in x.make():
            tensor = as_tensor(block)
            if tensor.ndim != AXES_OF_VECTORS or tensor.shape[0] != high or tensor.dtype != outline.dtype:
                more = " and a pivot" if x.pivot else ""
                raise ShapeError(
                    f"A block of shape {tuple(tensor.shape)} and {tensor.dtype} arrived; the first was "
                    f"{outline.dtype}, and {n} vectors{more} need blocks of shape ({high}, columns)."
                )
            yield Segment(tensor)

    return replace(plain, source=blocks, outlined=True, pivoted=bool(x.pivot))


def _shape_of_blocks(shape: Any) -> tuple[int, int]:
    try:
        n, d = shape
        if min(int(n), int(d)) >= 1 and (int(n), int(d)) == (n, d):
            return int(n), int(d)
    except (TypeError, ValueError):
        pass
    raise ShapeError(f"InBlocks(shape={shape!r}): the shape is (n, d), two whole numbers of at least 1.")


def _read_sequence(x: Sequence[Any]) -> Vectors:
    if not x:
        raise ShapeError("No vectors arrived: the list is empty.")
    first = x[0]
    if _is_array(first):
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
        if isinstance(first, Mapping):
            return type(first)(zip(keys, leaves, strict=True))  # type: ignore[call-arg]
        return type(first)(leaves)

    def pack_many(parts: Sequence[Tensor]) -> Any:
        return [pack([part[i] for part in parts]) for i in range(parts[0].shape[0])]

    def one(vector: Any) -> list[Tensor]:
        _check_entry(-1, vector, first, keys)
        leaves = [_leaf_of_extra(_get(vector, key)).reshape(-1) for key in keys]
        for key, leaf, segment in zip(keys, leaves, segments, strict=True):
            if len(leaf) != segment.width:
                raise ShapeError(
                    f"{_name(-1, key)} has {len(leaf)} coordinates; the vectors have {segment.width}."
                )
        return leaves

    source = of_file(segments[0], x) if keys == [None] else None
    return Vectors(segments, pack, pack_many, one, source)


def _get(entry: Any, key: Any) -> Any:
    return entry if key is None else entry[key]


def _name(i: int, key: Any) -> str:
    vector = f"Vector {i}" if i >= 0 else "The extra vector"
    return vector if key is None else f"{vector}, entry {key!r}"


def _check_entry(i: int, entry: Any, first: Any, keys: list[Any]) -> None:
    if keys == [None]:
        if not _is_array(entry):
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
    if not _is_array(leaf):
        raise InputError(f"{_name(i, key)} is a {type(leaf).__name__}; it must be an array.")
    tensor, wanted = as_tensor(leaf), as_tensor(reference)
    _check_dtype(tensor.dtype, _name(i, key))
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
    if not _is_array(vector):
        raise InputError(
            f"The extra vector is a {type(vector).__name__}; it must be of the same kind as the vectors."
        )
    tensor = as_tensor(vector)
    _check_dtype(tensor.dtype, "The extra vector")
    return tensor


def _unflatten(part: Tensor, leaf: Any) -> Any:
    return like(part.reshape(as_tensor(leaf).shape), leaf)
