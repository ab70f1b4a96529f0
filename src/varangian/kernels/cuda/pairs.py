"""Distances in float32 with all sums in registers: a thread takes columns of few rows, and all pairs.

What it needs next is on its way while it works. What is not finite, and where a sum has left the range in
which float32 loses nothing, comes out as NaN: that is measured again, with more care.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

from varangian.kernels.cuda.words import TYPES, Words, indented
from varangian.kernels.cuda.written import WIDENED, heading

COLUMNS = 32
"""Columns that a program does at a time, one for each thread of a warp."""

AHEAD = 2
"""How many times as many columns are on their way meanwhile."""

LONGEST = 16
"""Rows whose pairs all fit into the registers of a thread."""


def registers(k: int) -> int:
    """Return how many a thread needs: for its sums, for a few numbers and a place in each row, and some."""
    return k * (k - 1) // 2 + (3 + AHEAD) * k + 20


@cache
def near_source(element: str, k: int, stretch: int, nothing: tuple[int, ...] = ()) -> str:
    """Return ``kernel(table, shares, d, parts, FAR)`` in Triton's language; it adds to shares that are zero.

    ``shares`` are ``(runs, parts, k, k)``, of which those above the diagonal are written. The rows named
    ``nothing`` are the origin.
    """
    at = Words()
    rows = range(k)
    pairs = list(combinations(rows, 2))
    some = [row for row in rows if row not in nothing]
    groups = [pairs[first : first + COLUMNS] for first in range(0, len(pairs), COLUMNS)]
    at.do("place = tl.program_id(0)")
    at.do("run = (place // parts).to(tl.int64)")
    at.do("part = place % parts")
    at.do(f"share = shares + (run * parts + part) * {k * k}")
    at.do(f"lane = tl.arange(0, {COLUMNS})")
    for group, members in enumerate(groups):
        at.do(f"at{group} = tl.zeros(({COLUMNS},), tl.int32)")
        for place, (i, j) in enumerate(members):
            at.do(f"at{group} = tl.where(lane == {place}, {i * k + j}, at{group})")
    for row in some:
        at.do(f"x{row}_at = tl.load(table + run * {k} + {row}).to(tl.pointer_type({TYPES[element]}))")
    at.do(f"for start in range(part * {stretch}, d, parts * {stretch}):")
    at.do(f"    stop = tl.minimum(start + {stretch}, d)")
    at.do("    c = start + lane")
    for i, j in pairs:
        at.do(f"    s{i}_{j} = tl.zeros(({COLUMNS},), tl.float32)")
    for step in range(AHEAD):
        for row in some:
            at.do(f"    next{row}_{step} = tl.load(x{row}_at + c, mask=c < stop, other=0.0)")
        at.do(f"    c += {COLUMNS}")
    at.do(f"    for _ in range(start, stop, {AHEAD * COLUMNS}):")
    for step in range(AHEAD):
        for row in rows:
            x = f"next{row}_{step}.to(tl.float32)" if row in some else "0.0"
            at.do(f"        x{row} = {x}")
        for row in some:
            at.do(f"        next{row}_{step} = tl.load(x{row}_at + c, mask=c < stop, other=0.0)")
        at.do(f"        c += {COLUMNS}")
        for i, j in pairs:
            at.do(f"        gap = x{i} - x{j}")
            at.do(f"        s{i}_{j} = tl.fma(gap, gap, s{i}_{j})")
    for group, members in enumerate(groups):
        at.do(f"    sums = tl.zeros(({COLUMNS},), tl.float32)")
        for place, (i, j) in enumerate(members):
            at.do(f"    sums = tl.where(lane == {place}, tl.sum(s{i}_{j}, 0), sums)")
        at.do('    sums = tl.where((sums > 1e-30) & (sums < 1e37), sums.to(tl.float64), float("nan"))')
        mask = f"mask=lane < {len(members)}"
        at.do(f"    sums += tl.load(share + at{group}, {mask}, other=0.0)")
        at.do(f"    tl.store(share + at{group}, sums, {mask})")
    arguments = heading("table", "shares", "d", "parts", constants=("FAR",))
    return arguments + WIDENED + indented(at.lines, 1)
