"""Squared distances on a graphics processor, by direct differences: nothing is lost when vectors are close.

Differences and squares are taken in float32 and added up so over a stretch of columns, then in float64. Where a
square may have left the range of float32, the stretch is done again in float64. The order of all sums depends on
nothing but the number and the length of the rows.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.cuda.tables import TYPES, table_of
from varangian.kernels.cuda.words import loaded, working
from varangian.kernels.cuda.written import heading, launch
from varangian.kernels.rows import Rows

COLUMNS, STRETCH = 32, 2048
"""Columns that are looked at at once, and those that are added up in float32."""

PROGRAMS = 512
"""Programs at most for one run: what each adds up is one share of the sum."""

SHARES = 2**23
"""Numbers in the shares of all runs that are done at a time."""

SMALLEST, LARGEST_SQUARE = 1e-30, 1e36
"""Sums of squares between which float32 has lost nothing."""


def distances(rows: Rows) -> Float[Tensor, "*batch k k"]:
    """Return the squared distances between the rows and what rides along below them; reads once."""
    rows.reads += 1
    k = rows.n + len(rows.extras)
    result = rows.nonfinite.new_zeros(rows.batch_size, k, k, dtype=torch.float64)
    counts = rows.nonfinite.new_zeros(rows.batch_size, k)
    for place in range(len(rows.segments)):
        table, _held = table_of(rows, place, extras=True)
        _add(table, rows.segments[place].width, name_of(rows.segments[place].sample.dtype), result, counts)
    for run, of_run in enumerate(counts):
        rows.count(run, of_run[: rows.n])
    return result.view(*rows.batch, k, k)


def _add(table: Tensor, width: int, element: str, result: Tensor, counts: Tensor) -> None:
    """Add the distances over one segment to those of the others."""
    k = table.shape[1]
    side = 8 if k <= 8 else 16
    strips = -(-k // side)
    pairs = strips * (strips + 1) // 2
    stretches = -(-width // STRETCH)
    shares = min(stretches, max(1, PROGRAMS // pairs))
    step = max(1, SHARES // max(1, shares * k * k))
    for first in range(0, len(table), step) if width else ():
        runs = slice(first, first + step)
        partial = result.new_empty(len(result[runs]), shares, k, k)
        launch(
            pair_source(k, side, element),
            len(partial) * shares * pairs,
            table[runs],
            partial,
            counts[runs],
            width,
            shares,
        )
        launch(SUM, len(partial) * k, partial, result[runs], shares, k, WIDTH=max(16, 1 << (k - 1).bit_length()))


@cache
def pair_source(k: int, side: int, element: str) -> str:
    """Return ``kernel(table, shares, counts, d, parts)`` in Triton's language.

    A program does the distances between ``side`` rows and ``side`` others, the same or later ones, over
    its part of the stretches. Programs on the same columns are next to each other, so that the second
    reads what the first has brought into the cache.
    """
    strips = -(-k // side)
    wide = element == "float64"
    body = f"""
    place = tl.program_id(0)
    pair = place % {strips * (strips + 1) // 2}
    part = place // {strips * (strips + 1) // 2} % parts
    run = (place // {strips * (strips + 1) // 2} // parts).to(tl.int64)
    one = 0
    while pair >= {strips} - one:
        pair -= {strips} - one
        one += 1
    i = one * {side} + tl.arange(0, {side})
    j = (one + pair) * {side} + tl.arange(0, {side})
    x = tl.load(table + run * {k} + i, mask=i < {k}, other=0).to(tl.pointer_type({TYPES[element]}))
    y = tl.load(table + run * {k} + j, mask=j < {k}, other=0).to(tl.pointer_type({TYPES[element]}))
    ours = (i[:, None] < j[None, :]) & (j[None, :] < {k})
    total = tl.zeros(({side}, {side}), tl.float64)
    lost = tl.zeros(({side}, {COLUMNS}), tl.int32)
    for start in range(part * {STRETCH}, d, parts * {STRETCH}):
        stop = tl.minimum(start + {STRETCH}, d)
"""
    lines = body.splitlines()[1:]
    lines += [f"        {line}" for line in _stretch(side, element, working(element), count=True)]
    if not wide:
        lines += [
            f"        doubtful = (found < {SMALLEST}) | (found > {LARGEST_SQUARE}) | (found != found)",
            "        if tl.max((doubtful & ours).to(tl.int32)) > 0:",
        ]
        lines += [f"            {line}" for line in _stretch(side, element, "tl.float64", count=False)]
    lines += [
        "        total += found",
        "    lost = tl.sum(lost, 1)",
        f"    tl.atomic_add(counts + run * {k} + i, lost.to(tl.int64), mask=(pair == 0) & (i < {k}) & (lost > 0))",
        f"    share = shares + (run * parts + part) * {k * k}",
        f"    tl.store(share + i[:, None] * {k} + j[None, :], total, mask=ours)",
        f"    tl.store(share + j[None, :] * {k} + i[:, None], total, mask=ours)",
        f"    tl.store(share + i * {k + 1}, tl.zeros(({side},), tl.float64), mask=(pair == 0) & (i < {k}))",
        "",
    ]
    return heading("table", "shares", "counts", "d", "parts") + "\n".join(lines)


def _stretch(side: int, element: str, kind: str, *, count: bool) -> list[str]:
    """Return the lines that make ``found``, the squared distances over the columns of one stretch."""
    rows, others = (f"({name}[:, None] < K) & inside" for name in "ij")
    lines = [f"squares = tl.zeros(({side}, {side}, {COLUMNS}), {kind})", f"for at in range(start, stop, {COLUMNS}):"]
    return lines


SUM = heading("shares", "out", "parts", "k", constants=("WIDTH",)) + """\
    row = tl.program_id(0).to(tl.int64)
    j = tl.arange(0, WIDTH)
    shares += (row // k * parts * k + row % k) * k
    total = tl.load(out + row * k + j, mask=j < k, other=0.0)
    for part in range(parts):
        total += tl.load(shares + part * k * k + j, mask=j < k, other=0.0)
    tl.store(out + row * k + j, total, mask=j < k)
"""
