"""Distances on some of the columns, which are brought together, a few at a time; others are not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.kernels.distances import total
from varangian.kernels.measuring import Besides, measured
from varangian.kernels.rows import WIDE_ELEMENTS, Rows, Segment


def measured_on(
    rows: Rows,
    mask: Bool[Tensor, " d"],
    pivots: Sequence[Besides] = (),
    *,
    all_pairs: bool = True,
    mix: Float[Tensor, "*batch m n"] | None = None,
) -> Float[Tensor, "*batch k k"]:
    """Return ``measured`` on the columns that a mask over all marks: that is no pass over the rows."""
    k = len(pivots) + (rows.n if mix is None else mix.shape[-2])
    nothing = torch.zeros(*rows.batch, k, k, dtype=torch.float64, device=rows.device)
    tables = (measured(few, pivots, all_pairs=all_pairs, mix=mix) for few in _gathered(rows, mask))
    return total(nothing, tables)


def _gathered(rows: Rows, mask: Tensor) -> Iterator[Rows]:
    """Yield copies of the marked columns, so few at a time that they take little room."""
    step = max(1, WIDE_ELEMENTS // max(1, rows.batch_size * (rows.n + len(rows.extras))))
    first = rows.first
    for index, segment in enumerate(rows.segments):
        marked = mask[first : first + segment.width].nonzero()[:, 0].to(rows.device)
        first += segment.width
        for few in marked.split(step) if len(marked) else ():
            part = Segment(tuple(part.index_select(-1, few) for part in segment.parts))
            extras = [[extra[index].index_select(-1, few)] for extra in rows.extras]
            yield Rows([part], extras, sanitise=rows.sanitise)
