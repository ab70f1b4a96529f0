"""Squared distances on a graphics processor, by direct differences: nothing is lost when vectors are close.

Differences and squares are taken in float32 and added up so over a stretch of columns, then in float64.
Where squares may have left the range of float32, the stretch is done again in float64. The order of all sums
depends on nothing but the number and the length of the rows.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.cuda.tables import note, table_of
from varangian.kernels.cuda.words import TYPES, indented, loaded, working
from varangian.kernels.cuda.written import heading, helper, launch
from varangian.kernels.rows import Rows

STRETCH = 2048
"""Columns that are added up in float32."""

PROGRAMS = 512
"""Programs at most for one run; what each adds up is one share of the sum."""

SHARES = 2**23
"""Numbers in the shares of the runs that are done at a time."""


def distances(rows: Rows) -> Float[Tensor, "*batch k k"]:
    """Return the squared distances between the rows and what rides along below them; reads once.

    What is not finite is counted, and read as zero unless the rows say otherwise.
    """
    rows.reads += 1
    k = rows.n + len(rows.extras)
    result = rows.nonfinite.new_zeros(rows.batch_size, k, k, dtype=torch.float64)
    counts = rows.nonfinite.new_zeros(rows.batch_size, k)
    for place, segment in enumerate(rows.segments):
        table, _held = table_of(rows, place, extras=True)
        text = pair_source(name_of(segment.sample.dtype), replace=rows.sanitise)
        _add(text, table, segment.width, result, counts)
    note(rows, counts)
    return result.view(*rows.batch, k, k)


def _add(text: str, table: Tensor, width: int, result: Tensor, counts: Tensor) -> None:
    """Add the distances over one segment to those over the others."""
    k = table.shape[1]
    side = 8 if k <= 8 else 16
    strips = -(-k // side)
    pairs = strips * (strips + 1) // 2
    parts = min(-(-width // STRETCH), max(1, PROGRAMS // pairs))
    step = max(1, SHARES // max(1, parts * k * k))
    for first in range(0, len(table), step):
        of = slice(first, first + step)
        shares = result.new_empty(len(table[of]), parts, k, k)
        sizes = {"K": k, "STRIPS": strips, "SIDE": side, "COLUMNS": 8192 // side**2, "STRETCH": STRETCH}
        told = (table[of], shares, counts[of], width, parts)
        launch(text, len(shares) * parts * pairs, *told, warps=8, **sizes)
        launch(SUM, len(shares) * k, shares, result[of], parts, k, WIDTH=1 << (k - 1).bit_length())


@cache
def pair_source(element: str, *, replace: bool) -> str:
    """Return ``kernel(table, shares, counts, d, parts, ...)`` in Triton's language.

    A program does the distances between a strip of rows and itself or a later one, over its part of the
    stretches. Programs on the same columns are next to each other: one reads what another has brought into
    the cache.
    """
    load, *check = loaded("x", "rows[:, None] + c[None, :]", "mask", element, replace=replace)
    return (
        helper("block", "rows", "there", "c", "stop")
        + "    mask = there[:, None] & (c < stop)[None, :]\n"
        + indented([load, "return x"], 1)
        + helper("checked", "x")
        + indented([*check, "return x, x_ok"], 1)
        + helper("squares", "x", "y", "i", "j", "start", "stop", "lost", constants=CONSTANTS)
        + SQUARES
        + heading("table", "shares", "counts", "d", "parts", constants=SIZES)
        + PAIRS.replace("TYPE", TYPES[element]).replace("WORKING", working(element))
    )


CONSTANTS = ("KIND", "K", "SIDE", "COLUMNS")
SIZES = ("K", "STRIPS", "SIDE", "COLUMNS", "STRETCH")

SQUARES = """\
    total = tl.zeros((SIDE, SIDE, COLUMNS), KIND)
    c = start + tl.arange(0, COLUMNS)
    ours, theirs = block(x, i < K, c, stop), block(y, j < K, c, stop)
    for at in range(start, stop, COLUMNS):
        # What comes next is on its way while this is worked on.
        c += COLUMNS
        next_ours, next_theirs = block(x, i < K, c, stop), block(y, j < K, c, stop)
        ours, sound = checked(ours)
        theirs, _ = checked(theirs)
        lost += 1 - sound.to(tl.int32)
        gap = ours.to(KIND)[:, None, :] - theirs.to(KIND)[None, :, :]
        total = tl.fma(gap, gap, total)
        ours, theirs = next_ours, next_theirs
    return tl.sum(total.to(tl.float64), 2), lost
"""

PAIRS = """\
    place = tl.program_id(0)
    pair = place % (STRIPS * (STRIPS + 1) // 2)
    place = place // (STRIPS * (STRIPS + 1) // 2)
    run = (place // parts).to(tl.int64)
    part = place % parts
    strip = 0
    while pair >= STRIPS - strip:
        pair -= STRIPS - strip
        strip += 1
    i = strip * SIDE + tl.arange(0, SIDE)
    j = (strip + pair) * SIDE + tl.arange(0, SIDE)
    x = tl.load(table + run * K + i, mask=i < K, other=0).to(tl.pointer_type(TYPE))
    y = tl.load(table + run * K + j, mask=j < K, other=0).to(tl.pointer_type(TYPE))
    wanted = (i[:, None] < j[None, :]) & (j[None, :] < K)
    total = tl.zeros((SIDE, SIDE), tl.float64)
    lost = tl.zeros((SIDE, COLUMNS), tl.int32)
    for start in range(part * STRETCH, d, parts * STRETCH):
        stop = tl.minimum(start + STRETCH, d)
        found, lost = squares(x, y, i, j, start, stop, lost, WORKING, K, SIDE, COLUMNS)
        if WORKING == tl.float32:
            # Nothing was lost to denormal numbers, and nothing became infinite.
            good = (found > 1e-30) & (found < 1e37)
            if tl.min((good | ~wanted).to(tl.int32)) == 0:
                found, _ = squares(x, y, i, j, start, stop, lost, tl.float64, K, SIDE, COLUMNS)
        total += found
    share = shares + (run * parts + part) * K * K
    tl.store(share + i[:, None] * K + j[None, :], total, mask=wanted)
    tl.store(share + j[None, :] * K + i[:, None], total, mask=wanted)
    if pair == 0:
        of_row = tl.sum(lost, 1).to(tl.int64)
        tl.atomic_add(counts + run * K + i, of_row, mask=(i < K) & (of_row > 0))
        tl.store(share + i * (K + 1), tl.zeros((SIDE,), tl.float64), mask=i < K)
"""

SUM = (
    heading("shares", "out", "parts", "k", constants=("WIDTH",))
    + """\
    row = tl.program_id(0).to(tl.int64)
    j = tl.arange(0, WIDTH)
    shares += (row // k * parts * k + row % k) * k
    total = tl.load(out + row * k + j, mask=j < k, other=0.0)
    for part in range(parts):
        total += tl.load(shares + part * k * k + j, mask=j < k, other=0.0)
    tl.store(out + row * k + j, total, mask=j < k)
"""
)
