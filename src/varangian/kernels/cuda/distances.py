"""Squared distances on a graphics processor: nothing is lost when vectors are close.

A quick kernel leaves what it may have spoilt to a careful one, which takes direct differences. They and their
squares are taken in float32 and added up so over a stretch of columns, then in float64. Where they may have
left the range of float32, the stretch is done again in float64; of short rows, everything is float64. The
order of sums depends on the number, length and dtype of the rows, and on what the card can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.compiled.tasks import name_of
from varangian.kernels.cuda import centred, pairs
from varangian.kernels.cuda.tables import note, table_of
from varangian.kernels.cuda.words import TYPES, indented, loaded, working
from varangian.kernels.cuda.written import WIDENED, heading, helper, is_far, launch, multiplies
from varangian.kernels.rows import FEW, Rows

STRETCH = 2048
"""Columns that are added up in float32."""

PROGRAMS = 4000
"""Programs at most for one run; what each adds up is one share of the sum."""

TOGETHER = 2048
"""Numbers of shares that are added up at a time."""

LOOKS = 16
"""Shares that a program of the careful kernel looks through for what the quick one has left."""

SHARES = 2**23
"""Numbers in the shares of the runs that are done at a time."""


def distances(
    rows: Rows, besides: Sequence[int | None] = (), *, all_pairs: bool = True
) -> Float[Tensor, "*batch k k"]:
    """Return the squared distances between the rows and then the extras of these numbers; reads once.

    None is the origin. Unless all pairs are wanted, some between rows may be NaN. What is not finite is
    counted, and read as zero unless the rows say otherwise.
    """
    rows.reads += 1
    k, below = rows.n + len(besides), len(besides)
    result = rows.nonfinite.new_zeros(rows.batch_size, k, k, dtype=torch.float64)
    counts = rows.nonfinite.new_zeros(rows.batch_size, k)
    for place, segment in enumerate(rows.segments):
        table, _held, aligned = table_of(rows, place, besides)
        element, wide = name_of(segment.sample.dtype), rows.d < FEW
        text = pair_source(element, wide=wide, replace=rows.sanitise)
        narrow = all_pairs and not wide and element != "float64"
        quick = _quick(element, k, besides, aligned, rows.device) if narrow else None
        _add(text, quick, table.roll(below, -1), segment.width, result, counts, all_pairs=all_pairs)
    note(rows, counts[:, below:])
    return result.roll((-below, -below), (-2, -1)).view(*rows.batch, k, k)


class _Quick(NamedTuple):
    """A kernel that measures all pairs at once, and leaves NaN where that takes more care.

    Its text, how many programs there may be, and what it is told beside what others are.
    """

    text: str
    programs: int
    told: tuple[float, ...]
    options: dict[str, Any]


def _quick(
    element: str, k: int, besides: Sequence[int | None], aligned: bool, device: torch.device
) -> _Quick | None:
    """Return what is quickest for k rows, if anything is."""
    if k == 1:
        return None
    if k <= pairs.LONGEST:
        nothing = tuple(place for place, extra in enumerate(besides) if extra is None)
        options = {"warps": 1, "registers": pairs.registers(k)}
        return _Quick(pairs.near_source(element, k, STRETCH, nothing), PROGRAMS, (), options)
    if k <= centred.LONGEST and multiplies(device, centred.shared_of(k)):
        side = centred.side_of(k)
        sizes = {"K": k, "SIDE": side, "STRETCH": STRETCH, "ALIGNED": int(aligned)}
        options = {"warps": centred.warps_of(k), **sizes}
        return _Quick(centred.product_source(element), centred.programs_of(k), (0.0,), options)
    return None


def _add(
    text: str,
    quick: _Quick | None,
    table: Tensor,
    width: int,
    result: Tensor,
    counts: Tensor,
    *,
    all_pairs: bool,
) -> None:
    """Add the distances over one segment to the others, between the first strip and all at least.

    What the quick program has measured well is not measured again.
    """
    k = table.shape[1]
    side = 8 if k <= 8 else 16
    strips = -(-k // side)
    blocks = strips * (strips + 1) // 2 if all_pairs else strips
    parts = min(-(-width // STRETCH), quick.programs if quick else max(1, PROGRAMS // blocks))
    high = k if all_pairs else min(side, k)
    step, far = max(1, SHARES // max(1, parts * high * k)), is_far(width)
    for first in range(0, len(table), step):
        of = slice(first, first + step)
        runs = len(table[of])
        shares = result.new_full((runs, parts, high, k), 0.0 if quick else torch.nan)
        told = (table[of], shares, width, parts)
        if quick:
            launch(quick.text, runs * parts, *told, *quick.told, **quick.options, FAR=far)
        looks = LOOKS if quick else 1
        sizes = {
            "K": k,
            "HIGH": high,
            "PAIRS": blocks,
            "SIDE": side,
            "COLUMNS": 8192 // side**2,
            "STRETCH": STRETCH,
        }
        programs = runs * -(-parts // looks) * blocks
        launch(text, programs, *told, counts[of], warps=8, **sizes, LOOKS=looks, FAR=far)
        size = 1 << (k - 1).bit_length()
        widths = {"WIDTH": size, "TOGETHER": max(1, TOGETHER // size)}
        launch(SUM, runs * k, shares, result[of], parts, k, high, **widths)


@cache
def pair_source(element: str, *, wide: bool, replace: bool) -> str:
    """Return ``kernel(table, shares, d, parts, counts, ...)`` in Triton's language.

    ``shares`` are ``(runs, parts, HIGH, K)``. It measures pairs whose share is NaN.

    A program does the distances between a strip of rows and itself or a later one, over a few parts of the
    stretches. Programs on the same columns are next to each other: one reads what another has brought into
    the cache.
    """
    load, *check = loaded("x", "rows[:, None] + c[None, :]", "mask", element, replace=replace)
    return (
        helper("block", "begins", "c", "stop")
        + f"    rows = begins.to(tl.pointer_type({TYPES[element]}))\n"
        + "    mask = (begins != 0)[:, None] & (c < stop)[None, :]\n"
        + indented([load, "return x"], 1)
        + helper("checked", "x")
        + indented([*check, "return x, x_ok"], 1)
        + helper("squares", "x", "y", "start", "stop", "lost", constants=CONSTANTS)
        + SQUARES
        + heading("table", "shares", "d", "parts", "counts", constants=SIZES)
        + WIDENED
        + BODY.replace("WORKING", working("float64" if wide else element))
    )


CONSTANTS = ("KIND", "SIDE", "COLUMNS")
SIZES = ("K", "HIGH", "PAIRS", "SIDE", "COLUMNS", "STRETCH", "LOOKS", "FAR")

SQUARES = """\
    total = tl.zeros((SIDE, SIDE, COLUMNS), KIND)
    c = start + tl.arange(0, COLUMNS)
    ours, theirs = block(x, c, stop), block(y, c, stop)
    for at in range(start, stop, COLUMNS):
        # What comes next is on its way while this is worked on.
        c += COLUMNS
        next_ours, next_theirs = block(x, c, stop), block(y, c, stop)
        ours, _ = checked(ours)
        theirs, sound = checked(theirs)
        lost += 1 - sound.to(tl.int32)
        gap = ours.to(KIND)[:, None, :] - theirs.to(KIND)[None, :, :]
        total = tl.fma(gap, gap, total)
        ours, theirs = next_ours, next_theirs
    return tl.sum(total.to(tl.float64), 2), lost
"""

BODY = """\
    place = tl.program_id(0)
    pair = place % PAIRS
    place = place // PAIRS
    groups = tl.cdiv(parts, LOOKS)
    run = (place // groups).to(tl.int64)
    first = place % groups * LOOKS
    strip = 0
    while pair >= tl.cdiv(K, SIDE) - strip:
        pair -= tl.cdiv(K, SIDE) - strip
        strip += 1
    i = strip * SIDE + tl.arange(0, SIDE)
    j = (strip + pair) * SIDE + tl.arange(0, SIDE)
    x = tl.load(table + run * K + i, mask=i < K, other=0)
    y = tl.load(table + run * K + j, mask=j < K, other=0)
    wanted = (i[:, None] < j[None, :]) & (j[None, :] < K)
    for part in range(first, tl.minimum(first + LOOKS, parts)):
        share = shares + (run * parts + part) * HIGH * K + i[:, None] * K + j[None, :]
        before = tl.load(share, mask=wanted, other=0.0)
        if (K == 1) | (tl.max((before != before).to(tl.int32)) == 1):
            total = tl.zeros((SIDE, SIDE), tl.float64)
            lost = tl.zeros((SIDE, COLUMNS), tl.int32)
            for start in range(part * STRETCH, d, parts * STRETCH):
                stop = tl.minimum(start + STRETCH, d)
                found, lost = squares(x, y, start, stop, lost, WORKING, SIDE, COLUMNS)
                if WORKING == tl.float32:
                    # Nothing was lost to denormal numbers, and nothing became infinite.
                    good = (found > 1e-30) & (found < 1e37)
                    if tl.min((good | ~wanted).to(tl.int32)) == 0:
                        exact, _ = squares(x, y, start, stop, lost, tl.float64, SIDE, COLUMNS)
                        found = tl.where(good, found, exact)
                total += found
            # What is known stays, so that rounding depends on nothing but the pair.
            tl.store(share, total, mask=wanted & (before != before))
            if strip == 0:
                of_row = tl.sum(lost, 1).to(tl.int64)
                tl.atomic_add(counts + run * K + j, of_row, mask=(j < K) & (of_row > 0))
"""

SUM = (
    heading("shares", "out", "parts", "k", "high", constants=("WIDTH", "TOGETHER"))
    + """\
    row = tl.program_id(0).to(tl.int64)
    i = row % k
    j = tl.arange(0, WIDTH)
    wanted = (j < k) & (j != i) & (tl.minimum(i, j) < high)
    of_pair = shares + row // k * parts * high * k + tl.minimum(i, j) * k + tl.maximum(i, j)
    some = tl.arange(0, TOGETHER)
    total = tl.load(out + row * k + j, mask=wanted, other=0.0)
    for part in range(0, parts, TOGETHER):
        there = (part + some < parts)[:, None] & wanted[None, :]
        at = of_pair[None, :] + (part + some).to(tl.int64)[:, None] * high * k
        total += tl.sum(tl.load(at, mask=there, other=0.0), 0)
    tl.store(out + row * k + j, tl.where(wanted | (j == i), total, float("nan")), mask=j < k)
"""
)
