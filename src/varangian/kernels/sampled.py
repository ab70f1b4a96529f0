"""Distances on some of the columns, which are brought together, a few at a time; others are not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from varangian.kernels.distances import total
from varangian.kernels.measuring import Besides, measured
from varangian.kernels.rows import WIDE_ELEMENTS, Rows, Segment, within


def measured_on(
    rows: Rows,
    columns: Int[Tensor, " c"],
    pivots: Sequence[Besides] = (),
    *,
    all_pairs: bool = True,
    mix: Float[Tensor, "*batch m n"] | None = None,
) -> Float[Tensor, "*batch k k"]:
    """Return ``measured`` on some columns of all that there are, in order: that is no pass over the rows."""
    k = len(pivots) + (rows.n if mix is None else mix.shape[-2])
    nothing = torch.zeros(*rows.batch, k, k, dtype=torch.float64, device=rows.device)
    tables = (measured(few, pivots, all_pairs=all_pairs, mix=mix) for few in gathered(rows, columns))
    return total(nothing, tables)


def gathered(rows: Rows, columns: Tensor) -> Iterator[Rows]:
    """Yield copies of the columns that are here, so few at a time that they take little room."""
    step = max(1, WIDE_ELEMENTS // max(1, rows.batch_size * (rows.n + len(rows.extras))))
    first = rows.first
    for index, segment in enumerate(rows.segments):
        chosen = within(columns, first, first + segment.width).to(rows.device)
        first += segment.width
        for few in chosen.split(step) if len(chosen) else ():
            part = Segment(tuple(part.index_select(-1, few) for part in segment.parts))
            extras = [[extra[index].index_select(-1, few)] for extra in rows.extras]
            yield Rows([part], extras, sanitise=rows.sanitise)
