"""The first vector's own numbers in some columns, written over what a program made of all columns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from varangian.kernels.rows import Rows, sound


def within(columns: Int64[Tensor, " k"], place: slice) -> Int64[Tensor, " j"]:
    """Return which of the columns, in ascending order, lie in this place, counted from its start."""
    begin, end = torch.searchsorted(columns, torch.tensor([place.start, place.stop])).tolist()
    here: Tensor = columns[begin:end] - place.start
    return here


def put_firsts(rows: Rows, columns: Int64[Tensor, " k"], outputs: Sequence[Tensor]) -> None:
    """Write some columns of the first row over the outputs, one ``(*batch, d)`` per segment."""
    offset = rows.first
    for segment, output in zip(rows.segments, outputs, strict=True):
        here = within(columns, slice(offset, offset + segment.width)).to(output.device)
        first, _ = sound(segment.first(here))
        output.index_copy_(-1, here, first.to(output.dtype))
        offset += segment.width
