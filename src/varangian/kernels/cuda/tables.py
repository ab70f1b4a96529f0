"""Where rows lie in the memory of a graphics processor."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from varangian.kernels.compiled.tasks import addresses, name_of
from varangian.kernels.cuda.words import TYPES
from varangian.kernels.rows import Rows

def readable(rows: Rows) -> bool:
    """Tell whether kernels may read the rows, and what rides along below them, where they lie."""
    return all(
        name_of(vector.dtype) in TYPES
        and vector.device == rows.device
        and vector.dtype == segment.sample.dtype
        and (vector.stride(-1) == 1 or vector.shape[-1] < 2)
        for place, segment in enumerate(rows.segments)
        for vector in (
            *([segment.vectors] if isinstance(segment.vectors, Tensor) else segment.vectors),
            *(_adjacent(extra[place]) for extra in rows.extras),
        )
    )


def table_of(rows: Rows, place: int, *, extras: bool = False) -> tuple[Int[Tensor, "runs k"], list[Tensor]]:
    """Return where each row of a segment begins, and what must not be freed before that was read."""
    segment = rows.segments[place]
    found = torch.from_numpy(addresses(segment.vectors).view("int64"))
    held = []
    if extras:
        for extra in rows.extras:
            vector = _adjacent(extra[place])
            held.append(vector)
            lead = vector.expand(*rows.batch, segment.width)
            own = torch.from_numpy(addresses(lead[..., None, :]).view("int64"))
            found = torch.cat([found, own], dim=1)
    return found.to(rows.device), held


def _adjacent(vector: Tensor) -> Tensor:
    """Return the vector with each number beside the next."""
    return vector if vector.stride(-1) == 1 else vector.contiguous()
