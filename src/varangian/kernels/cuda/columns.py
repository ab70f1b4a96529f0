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
from varangian.kernels.cuda.words import TYPES, Words, counting, indented, loaded, rounded
from varangian.kernels.cuda.written import heading, launch, serves, takes_ptx
from varangian.kernels.networks import selection_network
from varangian.kernels.programs import Program
from varangian.kernels.rows import Rows

COLUMNS = 128
"""Columns that a program of the kernel does, one for each of its threads."""

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
    """Write what a program makes of every column, one output ``(*batch, d)`` per segment; reads once."""
    rows.reads += 1
    counts = torch.zeros_like(rows.nonfinite).view(-1, rows.n)
    for place, (segment, output) in enumerate(zip(rows.segments, outputs, strict=True)):
        table, _ = table_of(rows, place)
        target = output.view(-1, segment.width)
        kinds = name_of(segment.sample.dtype), name_of(output.dtype)
        text = column_source(program, rows.n, *kinds, ptx=takes_ptx())
        blocks = -(-segment.width // COLUMNS)
        sizes = (target.stride(0), segment.width, blocks)
        launch(text, len(table) * blocks, table, target, counts, *sizes, COLUMNS=COLUMNS)
    note(rows, counts)


@cache
def column_source(program: Program, n: int, element: str, made: str, *, ptx: bool) -> str:
    """Return ``kernel(table, out, counts, stride, d, blocks, COLUMNS)`` in Triton's language.

    ``table`` holds where each of n rows of each run begins, ``stride`` is from one run's output to the next.
    What is not finite is read as zero; where a program met any, it counts them into ``counts``.
    """
    at = Words()
    at.do("place = tl.program_id(0)")
    at.do("run = (place // blocks).to(tl.int64)")
    at.do("c = (place % blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)")
    at.do("inside = c < d")
    at.do(f"rows = table + run * {n}")
    for row in range(n):
        at.do(f"row = tl.load(rows + {row}).to(tl.pointer_type({TYPES[element]}))")
        for line in loaded(f"x{row}", "row + c", "inside", element):
            at.do(line)
        at.do(f"sound = {'sound & ' if row else ''}x{row}_ok")
    if ptx and n > LONGEST_SPELLED:
        block = ptx_block(program, n, wide=element == "float64")
        letter = "d" if element == "float64" else "f"
        constraints = ",".join(["=d", *letter * n])
        inputs = ", ".join(f"x{row}" for row in range(n))
        result = at.get(
            f'tl.inline_asm_elementwise("{block}", "{constraints}", [{inputs}], '
            "dtype=tl.float64, is_pure=True, pack=1)"
        )
    else:
        result = _spelled(program, n, at)
    for line in rounded(result, made):
        at.do(line)
    at.do("tl.store(out + run * stride + c, rounded, mask=inside)")
    arguments = ("table", "out", "counts", "stride", "d", "blocks")
    body = indented([*at.lines, *counting(str(n), element)], 1)
    return heading(*arguments, constants=("COLUMNS",)) + body


def _spelled(program: Program, n: int, at: Words) -> str:
    wires = {row: f"x{row}" for row in range(n)}
    for i, j, low, high in selection_network(program.labels(n)):
        one, other = wires[i], wires[j]
        if low:
            wires[i] = at.least(one, other)
        if high:
            wires[j] = at.most(one, other)
    return program.value(wires, n, at)
