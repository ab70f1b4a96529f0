"""Column programs on a graphics processor: one thread loads a column of n, sorts, computes and stores.

The same operations in the same order as everywhere, so the results are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.cuda.ptx import ptx_block
from varangian.kernels.cuda.tables import note, readable, table_of
from varangian.kernels.cuda.words import TYPES, Words, counting, indented, loaded, rounded, working
from varangian.kernels.cuda.written import heading, launch, serves, takes_ptx
from varangian.kernels.networks import selection_network
from varangian.kernels.programs import Program, headroom
from varangian.kernels.rows import Rows

COLUMNS = 256
"""Columns that a program of the kernel does, two for each of its threads."""

TOGETHER = 64
"""Blocks of columns whose marks are looked at together."""

OVER = 1.8e168
"""Times this, what must not be larger than ``LARGEST`` overflows, and what is a thousandth less does not."""

LONGEST_SPELLED = 48
"""Rows above which a network is given in PTX, where that can be: Triton takes long over many lines."""

LONGEST = {"ptx": 256, "words": 64}
"""Rows above which columns are left to others."""


def reducible(rows: Rows) -> bool:
    """Tell whether kernels can be compiled for these rows and read them where they lie."""
    return rows.sanitise and rows.n <= longest() and serves(rows.device) and readable(rows)


def longest() -> int:
    """Return how many rows a kernel can sort."""
    return LONGEST["ptx" if takes_ptx() else "words"]


def reduce(program: Program, rows: Rows, outputs: Sequence[Tensor]) -> None:
    """Write what a program makes of every column, one output ``(*batch, d)`` per segment; reads once.

    A first kernel leaves blocks of columns in which anything is not finite, or becomes so, to a second.
    """
    rows.reads += 1
    counts = torch.zeros_like(rows.nonfinite).view(-1, rows.n)
    for place, (segment, output) in enumerate(zip(rows.segments, outputs, strict=True)):
        table, *_held = table_of(rows, place)
        target = output.view(rows.batch_size, segment.width)
        kinds = name_of(segment.sample.dtype), name_of(output.dtype)
        blocks = -(-segment.width // COLUMNS)
        total = len(table) * blocks
        marks = torch.zeros(total, dtype=torch.int8, device=rows.device)
        told = (table, target, marks, target.stride(0), segment.width, blocks)
        launch(column_source(program, rows.n, *kinds, ptx=takes_ptx()), total, *told, COLUMNS=COLUMNS)
        repair = repair_source(program, rows.n, *kinds, ptx=takes_ptx())
        sizes = {"COLUMNS": COLUMNS, "TOGETHER": TOGETHER}
        launch(repair, -(-total // TOGETHER), *told, counts, total, rows.n, **sizes)
    note(rows, counts)


@cache
def column_source(program: Program, n: int, element: str, made: str, *, ptx: bool) -> str:
    """Return ``kernel(table, out, marks, stride, d, blocks, COLUMNS)`` in Triton's language.

    ``table`` holds where each of n rows of each run begins, ``stride`` is from one run's output to the next.
    Where a program of the kernel meets a value that is not finite, or makes one, it sets its mark, and its
    output is void.
    """
    at = Words(working(element))
    at.do("place = tl.program_id(0)")
    _begin(at, n)
    at.do(f"nought = tl.zeros((COLUMNS,), {at.kind})")
    at.do("lost = nought")
    for row in range(n):
        at.do(f"row = tl.load(rows + {row}).to(tl.pointer_type({TYPES[element]}))")
        at.do(f"x{row} = tl.load(row + c, mask=inside, other=0.0).to({at.kind})")
        # A finite number times zero leaves nothing; of float64, what is too large is made infinite here.
        size = f"x{row} * {OVER!r}" if element == "float64" else f"x{row}"
        at.do(f"lost = tl.fma({size}, nought, lost)")
    result = _result(at, program, n, ptx=ptx)
    at.do(f"lost = tl.fma({result}, nought, lost)")
    _store(at, result, made)
    at.do("tl.store(marks + place + tl.zeros_like(c), (lost != lost).to(tl.int8), mask=lost != lost)")
    arguments = ("table", "out", "marks", "stride", "d", "blocks")
    return heading(*arguments, constants=("COLUMNS",)) + indented(at.lines, 1)


@cache
def repair_source(program: Program, n: int, element: str, made: str, *, ptx: bool) -> str:
    """Return ``kernel(table, out, marks, stride, d, blocks, counts, total, n, COLUMNS, TOGETHER)``.

    It does what is marked again, counts what is not finite row by row into ``counts``, and reads it as zero.
    Where the result is not finite, it tries once more with smaller numbers.
    """
    at, body = Words(working(element)), Words(working(element))
    most = torch.finfo(torch.float64 if element == "float64" else torch.float32).max
    _begin(at, n)
    for row in range(n):
        at.do(f"row = tl.load(rows + {row}).to(tl.pointer_type({TYPES[element]}))")
        for line in loaded(f"x{row}", "row + c", "inside", element):
            at.do(line)
        # Nothing is larger: but a product must not be fused with the difference that it is part of.
        body.do(f"x{row} = tl.minimum(x{row} * by, {most!r})")
    result = _result(body, program, n, ptx=ptx)
    body.do(f"made = tl.where(tl.abs(made) < float('inf'), made, {result} * back)")
    at.do(f"made = tl.full((COLUMNS,), float('nan'), {at.kind})")
    at.do("for attempt in range(2):")
    at.do(f"    by = tl.where(attempt == 0, 1.0, {1 / headroom(n)!r})")
    at.do(f"    back = tl.where(attempt == 0, 1.0, {headroom(n)!r})")
    for line in body.lines:
        at.do(f"    {line}")
    _store(at, f"tl.minimum(tl.maximum(made, {-most!r}), {most!r})", made)
    arguments = ("table", "out", "marks", "stride", "d", "blocks", "counts", "total", "n")
    return (
        heading(*arguments, constants=("COLUMNS", "TOGETHER"))
        + REPAIR
        + indented([*at.lines, *counting("n", element)], 3)
    )


REPAIR = """\
    first = tl.program_id(0) * TOGETHER
    some = first + tl.arange(0, TOGETHER)
    if tl.max(tl.load(marks + some, mask=some < total, other=0).to(tl.int32)) == 0:
        return
    for place in range(first, tl.minimum(first + TOGETHER, total)):
        if tl.load(marks + place) != 0:
"""


def _begin(at: Words, n: int) -> None:
    """Say which columns of which run a place stands for, and where its rows are."""
    at.do("run = (place // blocks).to(tl.int64)")
    at.do("c = (place % blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)")
    at.do("inside = c < d")
    at.do(f"rows = table + run * {n}")


def _store(at: Words, result: str, made: str) -> None:
    for line in rounded(result, made):
        at.do(line)
    at.do("tl.store(out + run * stride + c, rounded, mask=inside)")


def _result(at: Words, program: Program, n: int, *, ptx: bool) -> str:
    """Make of the columns what the program says."""
    if ptx and n > LONGEST_SPELLED:
        wide = at.kind == "tl.float64"
        block = ptx_block(program, n, wide=wide)
        letter = "d" if wide else "f"
        constraints = ",".join([f"={letter}", *letter * n])
        inputs = ", ".join(f"x{row}" for row in range(n))
        return at.get(
            f'tl.inline_asm_elementwise("{block}", "{constraints}", [{inputs}], '
            f"dtype={at.kind}, is_pure=True, pack=1)"
        )
    wires = {row: f"x{row}" for row in range(n)}
    for i, j, low, high in selection_network(program.labels(n)):
        one, other = wires[i], wires[j]
        if low:
            wires[i] = at.least(one, other)
        if high:
            wires[j] = at.most(one, other)
    return program.value(wires, n, at)
