"""Distances in float32 with all sums in registers: a thread takes a column of some rows, and all their pairs.

What it needs next is on its way while it works. What is not finite, and where a sum has left the range in
which float32 loses nothing, comes out as NaN: that is measured again, with more care.
"""

from __future__ import annotations

from functools import cache

from varangian.kernels.cuda.words import TYPES, Words, indented
from varangian.kernels.cuda.written import heading

COLUMNS = 32
"""Columns that a program does at a time, one for each thread of a warp."""

MOST = 16
"""Rows whose pairs all fit into the registers of a thread."""

LONGEST = 27
"""Rows whose pairs fit into three threads: each takes those of two thirds, and those within one."""


def kinds(k: int) -> int:
    """Return how many programs do all pairs of some columns."""
    return 1 if k <= MOST else 3


@cache
def near_source(element: str, k: int, stretch: int) -> str:
    """Return ``kernel(table, shares, d, parts)`` in Triton's language, which adds to shares that are zero.

    ``shares`` are ``(runs, parts, k, k)``, of which those above the diagonal are written.
    """
    at = Words()
    at.do("place = tl.program_id(0)")
    at.do(f"run = (place // {kinds(k)} // parts).to(tl.int64)")
    at.do(f"part = place // {kinds(k)} % parts")
    at.do(f"share = shares + (run * parts + part) * {k * k}")
    if kinds(k) == 1:
        return _whole(at.lines + _body(element, k, [range(k)], stretch))
    thirds = [range(k * third // 3, k * (third + 1) // 3) for third in range(3)]
    for third in range(3):
        at.do(f"if place % 3 == {third}:")
        lines = _body(element, k, [thirds[third], thirds[third - 1]], stretch)
        at.lines += [f"    {line}" for line in lines]
    return _whole(at.lines)


def _whole(lines: list[str]) -> str:
    return heading("table", "shares", "d", "parts") + indented(lines, 1)


def _body(element: str, k: int, blocks: list[range], stretch: int) -> list[str]:
    """Return the lines that measure the pairs within the first block of rows, and those with others."""
    at = Words()
    rows = [row for block in blocks for row in block]
    pairs = [(min(i, j), max(i, j)) for i in blocks[0] for j in rows if i < j or j not in blocks[0]]
    for row in rows:
        at.do(f"x{row}_at = tl.load(table + run * {k} + {row})")
        at.do(f"x{row}_d = tl.where(x{row}_at == 0, 0, d)")
        at.do(f"x{row}_at = x{row}_at.to(tl.pointer_type({TYPES[element]}))")
    at.do(f"for start in range(part * {stretch}, d, parts * {stretch}):")
    at.do(f"    stop = tl.minimum(start + {stretch}, d)")
    at.do(f"    c = start + tl.arange(0, {COLUMNS})")
    for i, j in pairs:
        at.do(f"    s{i}_{j} = tl.zeros(({COLUMNS},), tl.float32)")
    for row in rows:
        at.do(f"    x{row}_stop = tl.minimum(stop, x{row}_d)")
        at.do(f"    next{row} = tl.load(x{row}_at + c, mask=c < x{row}_stop, other=0.0)")
    at.do(f"    for _ in range(start, stop, {COLUMNS}):")
    at.do(f"        c += {COLUMNS}")
    for row in rows:
        at.do(f"        x{row} = next{row}.to(tl.float32)")
        at.do(f"        next{row} = tl.load(x{row}_at + c, mask=c < x{row}_stop, other=0.0)")
    for i, j in pairs:
        at.do(f"        gap = x{i} - x{j}")
        at.do(f"        s{i}_{j} = tl.fma(gap, gap, s{i}_{j})")
    for i, j in pairs:
        at.do(f"    t = tl.sum(s{i}_{j}, 0)")
        at.do('    t = tl.where((t > 1e-30) & (t < 1e37), t.to(tl.float64), float("nan"))')
        at.do(f"    to = share + {i * k + j}")
        at.do("    tl.store(to, tl.load(to) + t)")
    return at.lines
