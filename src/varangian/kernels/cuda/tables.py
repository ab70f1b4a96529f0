"""Where rows lie in the memory of a graphics processor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.compiled.tasks import addresses, name_of
from varangian.kernels.cuda.words import TYPES
from varangian.kernels.rows import Rows


def readable(rows: Rows) -> bool:
    """Tell whether kernels may read the rows, and what rides along below them, where they lie."""
    return all(_readable(rows, place) for place in range(len(rows.segments)))


def _readable(rows: Rows, place: int) -> bool:
    vectors, like = rows.segments[place].vectors, rows.segments[place].sample
    own = (vectors,) if isinstance(vectors, Tensor) else vectors
    adjacent = all(vector.stride(-1) == 1 or vector.shape[-1] < 2 for vector in own)
    extras = [extra[place] for extra in rows.extras]
    alike = all(vector.dtype == like.dtype and vector.device == rows.device for vector in (*own, *extras))
    return adjacent and alike and name_of(like.dtype) in TYPES


def table_of(
    rows: Rows, place: int, besides: Sequence[int | None] = ()
) -> tuple[Int[Tensor, "runs k"], list[Tensor], bool]:
    """Return where each row of a segment begins, then the extras of these numbers; the origin is at 0.

    And what must not be freed before that was read, and whether all begin where 16 bytes are loaded at once.
    """
    segment = rows.segments[place]
    held, found = list[Tensor](), [addresses(segment.vectors)]
    for extra in besides:
        if extra is None:
            found.append(np.zeros((rows.batch_size, 1), dtype=np.uint64))
            continue
        held.append(rows.extras[extra][place].contiguous())
        each = held[-1].expand(*rows.batch, segment.width)
        found.append(addresses(each[..., None, :]))
    table = np.concatenate(found, axis=1)
    return _there(table, rows.device), held, not (table % 16).any()


def note(rows: Rows, counts: Int[Tensor, "runs k"]) -> None:
    """Count what was not finite in the rows, if this is the first time they are read."""
    if rows.reads == 1:
        rows.nonfinite += counts[:, : rows.n].view(*rows.batch, rows.n)


def _there(table: NDArray[np.uint64], device: torch.device) -> Tensor:
    """Return a table on the device, without waiting for what runs there."""
    made = torch.from_numpy(table.view("int64"))
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made
