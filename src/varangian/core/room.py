"""Where a result is written: in memory of its own, or where the caller wants it, if that is safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.autograd.graph import increment_version

from varangian.core.inputs import check_writable
from varangian.core.points import Points
from varangian.core.vectors import Vectors
from varangian.errors import InputError
from varangian.kernels.memory import fresh
from varangian.kernels.rows import Rows


def room_for(points: Points, many: bool) -> list[Tensor]:
    """Return new memory for a point, or for ``many``, by segment."""
    assert points.rows is not None
    lead = (*points.rows.batch, points.m) if many else points.rows.batch
    return [fresh(segment.sample, *lead, segment.width) for segment in points.rows.segments]


def room_in(out: Any, vectors: Vectors, rows: Rows, many: bool) -> list[Tensor]:
    """Return where a caller wants the result, by segment. Raises InputError where it cannot be written."""
    if many:
        raise InputError("out= takes one vector, and a mixer returns several; leave it out.")
    check_writable(out)
    parts, again = vectors.flatten_one(out), vectors.flatten_one(out)
    for part, twin, segment in zip(parts, again, rows.segments, strict=True):
        wanted = (*rows.batch, segment.width)
        if part.device != segment.sample.device:
            raise InputError(f"out= lies on {part.device}, and the vectors on {segment.sample.device}.")
        copied = part.data_ptr() != twin.data_ptr() and part.numel()  # as what is not in one piece must be
        if part.shape != wanted or part.dtype != segment.sample.dtype or copied or not part.is_contiguous():
            raise InputError(
                f"out= arrived as {tuple(part.shape)}, {part.dtype}; the result needs {wanted}, "
                f"{segment.sample.dtype}, in one piece."
            )
    # The result may take the place of the pivot that it is made from, which is read again meanwhile.
    rows.extras = tuple(
        tuple(
            one.clone() if _is_same(one, part) else one for one, part in zip(extra, parts, strict=bool(extra))
        )
        for extra in rows.extras
    )
    check_apart(parts, [part for segment in rows.segments for part in segment.parts], *rows.extras)
    for part in parts:
        if not part.is_inference():
            increment_version(part)
    return parts


def check_apart(written: Sequence[Tensor], *read: Sequence[Tensor]) -> None:
    """Refuse to write over what is read, or twice over anything. Raises InputError."""
    if _written_over(written, [tensor for some in read for tensor in some]):
        raise InputError(
            "out= shares memory with the vectors or a pivot, which are only read, or with itself; pass an "
            "array of its own, and of entries that are tied together only one."
        )


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are the same numbers, in the same order."""
    alike = one.dtype == other.dtype and one.shape == other.shape and one.stride() == other.stride()
    return alike and one.data_ptr() == other.data_ptr()


def _written_over(written: Sequence[Tensor], read: Sequence[Tensor]) -> bool:
    """Tell whether something that is written meets something that is read, or is written twice."""
    ends = {True: 0, False: 0}
    spans = sorted([*((*span, True) for span in _spans(written)), *((*span, False) for span in _spans(read))])
    for start, stop, ours in spans:
        if start < ends[True] or (ours and start < ends[False]):
            return True
        ends[ours] = max(ends[ours], stop)
    return False


def _spans(tensors: Sequence[Tensor]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of memory from the first number to the last."""
    for tensor in tensors:
        if tensor.numel():
            last = sum(
                (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
            )
            yield tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()
