"""The first vector's own numbers in some columns, written over what a program made of all columns."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int64
from torch import Tensor

from varangian.kernels.rows import Rows, sound, within


def put_firsts(rows: Rows, columns: Int64[Tensor, " k"], outputs: Sequence[Tensor]) -> None:
    """Write some columns of the first row over the outputs, one ``(*batch, d)`` per segment."""
    offset = rows.first
    for segment, output in zip(rows.segments, outputs, strict=True):
        here = within(columns, offset, offset + segment.width).to(output.device)
        first, _ = sound(segment.first(here))
        output.index_copy_(-1, here, first.to(output.dtype))
        offset += segment.width
