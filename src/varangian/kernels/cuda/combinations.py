"""Weighted combinations of rows on a graphics processor, added up in float64 in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.cuda.tables import note, table_of
from varangian.kernels.cuda.words import TYPES, counting, indented, loaded, rounded
from varangian.kernels.cuda.written import heading, launch
from varangian.kernels.rows import Rows

COLUMNS = 128
"""Columns that a program does."""

MOST = 8
"""Outputs that a program makes at most."""

AT_ONCE = 4
"""Rows that a program asks for before it waits for the first of them."""


def combine(weights: Float[Tensor, "*batch m k"], rows: Rows, outputs: Sequence[Tensor]) -> None:
    """Write W x, one output ``(*batch, m, d)`` per segment, of the rows and what rides along; reads once.

    What is not finite is counted if this is the first time that the rows are read, and read as zero unless
    the rows say otherwise. Rows that weigh nothing are not looked at where that changes nothing.
    """
    rows.reads += 1
    m, k = weights.shape[-2:]
    more = -k % AT_ONCE
    counts = rows.nonfinite.new_zeros(rows.batch_size, k + more)
    weights = functional.pad(weights.double().expand(*rows.batch, m, k), (0, more)).contiguous()
    made = min(MOST, 1 << max(0, m - 1).bit_length())
    groups = -(-m // made)
    for place, (segment, output) in enumerate(zip(rows.segments, outputs, strict=True)):
        table, _held = table_of(rows, place, extras=k > rows.n)
        table = torch.cat([table, table[:, -1:].expand(-1, more)], dim=1)  # they weigh nothing
        target = output.view(-1, m, segment.width)
        blocks = -(-segment.width // COLUMNS)
        sizes = (target.stride(0), target.stride(1), segment.width, blocks, m, k + more)
        told = (table, weights, target, counts, *sizes, int(rows.reads == 1 or not rows.sanitise))
        text = combination_source(name_of(segment.sample.dtype), replace=rows.sanitise)
        constants = {"COLUMNS": COLUMNS, "MADE": made, "AT_ONCE": AT_ONCE}
        launch(text, len(table) * blocks * groups, *told, **constants)
    note(rows, counts)


@cache
def combination_source(element: str, *, replace: bool) -> str:
    """Return ``kernel(table, weights, out, counts, ..., COLUMNS, MADE, AT_ONCE)`` in Triton's language.

    A program makes some columns of a few outputs; those on the same columns are next to each other.
    """
    return (
        heading(*ARGUMENTS, constants=("COLUMNS", "MADE", "AT_ONCE"))
        + HEAD.replace("TYPE", TYPES[element])
        + indented(loaded("x", "row + c", "c < end", element, replace=replace), 3)
        + TAIL
        + indented(rounded("total", element), 1)
        + "    tl.store(out + c[None, :], rounded, mask=(o < m)[:, None] & inside[None, :])\n"
        + indented(counting("k", element, "(all_rows > 0) & (place % groups == 0)"), 1)
    )


ARGUMENTS = ("table", "weights", "out", "counts", "by_run", "by_output", "d", "blocks", "m", "k", "all_rows")

HEAD = """\
    place = tl.program_id(0)
    groups = (m + MADE - 1) // MADE
    o = place % groups * MADE + tl.arange(0, MADE)
    run = (place // groups // blocks).to(tl.int64)
    c = (place // groups % blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    inside = c < d
    rows = table + run * k
    sound = inside | True
    total = tl.zeros((MADE, COLUMNS), tl.float64)
    for start in range(0, k, AT_ONCE):
        for step in tl.static_range(AT_ONCE):
            w = tl.load(weights + (run * m + o) * k + start + step, mask=o < m, other=0.0)
            end = tl.where(tl.max(tl.abs(w), 0) + all_rows > 0.0, d, 0)
            row = tl.load(rows + start + step).to(tl.pointer_type(TYPE))
"""

TAIL = """\
            sound = sound & x_ok
            total += w[:, None] * x.to(tl.float64)[None, :]
    out += run * by_run + o[:, None].to(tl.int64) * by_output
"""
