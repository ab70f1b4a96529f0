"""Weighted combinations of rows on a graphics processor, added up in float64 in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.cuda.columns import longest, reduce
from varangian.kernels.cuda.tables import note, readable, table_of
from varangian.kernels.cuda.words import TYPES, Words, counting, indented, loaded, rounded
from varangian.kernels.cuda.written import heading, launch
from varangian.kernels.programs import Program
from varangian.kernels.rows import FEW, WORKING_DTYPES, Rows, Segment

COLUMNS = 256
"""Columns that a program does, two for each of its threads, which share what is loaded for all columns."""

MOST = 16
"""Sums that a program makes at most."""

AT_ONCE = 4
"""Rows that a program asks for before it waits for the first of them."""

ROOM = 2**25
"""Sums that are there at a time, at most, where a program is run on them."""


def combine(weights: Float[Tensor, "*batch m k"], rows: Rows, outputs: Sequence[Tensor]) -> None:
    """Write W x, one output ``(*batch, m, d)`` per segment, of the rows and what rides along; reads once.

    What is not finite is counted if this is the first time that the rows are read, and read as zero unless
    the rows say otherwise. A row that weighs nothing adds nothing, finite or not.
    """
    sums = _Sums(weights, rows)
    for place, output in enumerate(outputs):
        sums.write(place, 0, output.view(rows.batch_size, sums.m, output.shape[-1]))
    note(rows, sums.counts)


def reducible_mix(rows: Rows, m: int) -> bool:
    """Tell whether kernels can sort m sums of these rows."""
    return rows.sanitise and m <= longest() and readable(rows)


def reduce_mix(
    program: Program, rows: Rows, weights: Float[Tensor, "*batch m k"], outputs: Sequence[Tensor]
) -> None:
    """Write what a program makes of the columns of W x, one output ``(*batch, d)`` per segment; reads once.

    The sums are there for as many columns at a time as there is room for.
    """
    sums = _Sums(weights, rows)
    step = max(COLUMNS, ROOM // max(1, rows.batch_size * sums.m))
    for place, (segment, output) in enumerate(zip(rows.segments, outputs, strict=True)):
        working = torch.float64 if rows.d < FEW else WORKING_DTYPES[segment.sample.dtype]
        targets = output.view(rows.batch_size, segment.width).split(step, -1)
        for part, target in enumerate(targets):
            made = target.new_empty(rows.batch_size, sums.m, target.shape[-1], dtype=working)
            sums.write(place, part * step, made)
            reduce(program, Rows([Segment(made)]), [target])
    note(rows, sums.counts)


class _Sums:
    """Weighted sums of rows in a read that has begun."""

    def __init__(self, weights: Tensor, rows: Rows) -> None:
        rows.reads += 1
        self.rows = rows
        self.m, self.k = weights.shape[-2:]
        self.more = -self.k % AT_ONCE  # rows that weigh nothing
        self.weights = functional.pad(
            weights.to(rows.device, torch.float64).expand(*rows.batch, self.m, self.k), (0, self.more)
        ).contiguous()
        self.counts = rows.nonfinite.new_zeros(rows.batch_size, self.k + self.more)
        self.whole = int(rows.reads == 1)

    def write(self, place: int, start: int, output: Float[Tensor, "runs m c"]) -> None:
        """Write the sums of some columns of a segment, from a column on."""
        sample, (runs, m, width) = self.rows.segments[place].sample, output.shape
        table, *_held = table_of(self.rows, place, range(self.k - self.rows.n))
        table = torch.cat([table, table[:, -1:].expand(-1, self.more)], dim=1) + start * sample.element_size()
        groups = -(-m // MOST)
        blocks = -(-width // COLUMNS)
        sizes = (output.stride(0), output.stride(1), width, blocks, groups, m, self.k + self.more, self.whole)
        kinds = name_of(sample.dtype), name_of(output.dtype)
        text = combination_source(*kinds, -(-m // groups), replace=self.rows.sanitise)
        told = (table, self.weights, output, self.counts, *sizes)
        launch(text, runs * blocks * groups, *told, COLUMNS=COLUMNS)


@cache
def combination_source(element: str, made: str, sums: int, *, replace: bool) -> str:
    """Return ``kernel(table, weights, out, counts, ..., COLUMNS)`` in Triton's language.

    A program makes some columns of a few sums; those on the same columns are next to each other.
    """
    at = Words()
    for o in range(sums):
        at.do(f"o{o} = (place % groups * {sums} + {o}).to(tl.int64)")
        at.do(f"weights{o} = weights + (run * m + tl.minimum(o{o}, m - 1)) * k")
        at.do(f"total{o} = tl.zeros((COLUMNS,), tl.float64)")
    at.do(f"for start in range(0, k, {AT_ONCE}):")
    for step in range(AT_ONCE):
        at.do(f"    row = tl.load(rows + start + {step}).to(tl.pointer_type({TYPES[element]}))")
        for o in range(sums):
            at.do(f"    w{o}_{step} = tl.load(weights{o} + start + {step})")
        # A row that weighs nothing is not read; that is worth asking of a single sum only.
        end = f"tl.where(tl.abs(w0_{step}) + all_rows > 0.0, d, 0)" if sums == 1 else "d"
        for line in loaded(f"x{step}", "row + c", f"c < {end}", element, replace=replace):
            at.do(f"    {line}")
        at.do(f"    sound = sound & x{step}_ok")
    for step in range(AT_ONCE):
        at.do(f"    x{step} = x{step}.to(tl.float64)")
        for o in range(sums):
            # What is not finite would leave NaN even where it weighs nothing.
            x = f"x{step}" if replace else f"tl.where(w{o}_{step} != 0.0, x{step}, 0.0)"
            at.do(f"    total{o} += w{o}_{step} * {x}")
    for o in range(sums):
        for line in rounded(f"total{o}", made):
            at.do(line)
        at.do(f"to = out + run * by_run + o{o} * by_output + c")
        at.do(f"tl.store(to, rounded, mask=c < tl.where(o{o} < m, d, 0))")
    first = "(all_rows > 0) & (place % groups == 0) & (tl.min(sound.to(tl.int32), 0) == 0)"
    lines = [*at.lines, *counting("k", element, first)]
    return heading(*ARGUMENTS, constants=("COLUMNS",)) + HEAD + indented(lines, 1)


ARGUMENTS = (
    *("table", "weights", "out", "counts", "by_run", "by_output", "d", "blocks", "groups", "m", "k"),
    "all_rows",
)

HEAD = """\
    place = tl.program_id(0)
    run = (place // groups // blocks).to(tl.int64)
    c = (place // groups % blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)
    inside = c < d
    rows = table + run * k
    sound = inside | True
"""
