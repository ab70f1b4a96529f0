"""Squared distances of many rows from products around a centre, by the units that multiply matrices.

|x - y|² is |x - c|² + |y - c|² - 2 (x - c)·(y - c), which loses digits only where x and y are much closer to
each other than to c. So c is, column by column, the median of three of the rows, which neither a common part
of all nor one outlier moves away. Two of the three could, and where digits were lost, or a number is not
finite, NaN comes out: that is measured again, with more care.

The units multiply numbers of 11 bits and cut off what they add up. Each number is split into two of so many
bits, and they add up no more than 32 columns at a time.
"""

from __future__ import annotations

from functools import cache

from varangian.kernels.cuda.words import TYPES
from varangian.kernels.cuda.written import WIDENED, heading, helper

LONGEST = 128
"""Rows up to which all products fit into the registers of a program."""

NEAR = 0.5
"""Of the squared distances to the centre: a pair that is closer may have lost more than 1e-6 of its own."""

TOO_SMALL = 1e-30
"""Per column: of smaller squares, parts may be denormal, which the units may take for zero."""


def side_of(k: int) -> int:
    """Return how many rows a program makes of k, more than 16: the units take so many at a time."""
    return 1 << (k - 1).bit_length()


def warps_of(k: int) -> int:
    """Return how many warps share the products of k rows; from four on, the units read from shared memory."""
    return {32: 1, 64: 4, 128: 8}[side_of(k)]


def shared_of(k: int) -> int:
    """Return how many bytes the threads of a program share: a table in float64, and what is loaded ahead."""
    return 8 * side_of(k) ** 2 + 2**15


def programs_of(k: int) -> int:
    """Return how many programs there may be: twice as many as run at once on the 132 parts of an H100."""
    return 132 * {32: 16, 64: 6, 128: 2}[side_of(k)]


@cache
def product_source(element: str) -> str:
    """Return ``kernel(table, shares, d, parts, nought, K, SIDE, STRETCH, ..., FAR)`` in Triton's language.

    ``shares`` are zeros ``(runs, parts, K, K)``, of which those above the diagonal are then distances.
    ``nought`` is 0.0. Rows that all begin ``ALIGNED`` are loaded 16 bytes at a time, three pieces ahead.
    """
    return (
        helper("row", "begin", "c", "stop")
        + "    mask = c < tl.where(begin.to(tl.int64) != 0, stop, 0)\n"
        + "    return tl.load(begin + c, mask=mask, other=0.0).to(tl.float32)\n"
        + helper("centre", "one", "other", "third", "c", "stop")
        + CENTRE
        + helper("added", "sums", "x", "y", "there", "empty")
        + ADDED
        + heading("table", "shares", "d", "parts", "nought", constants=SIZES)
        + WIDENED
        + BODY.replace("POINTER", f"tl.pointer_type({TYPES[element]})")
    )


SIZES = ("K", "SIDE", "STRETCH", "ALIGNED", "FAR")

CENTRE = """\
    x = row(one, c, stop)
    y = row(other, c, stop)
    z = row(third, c, stop)
    return tl.maximum(tl.minimum(x, y), tl.minimum(tl.maximum(x, y), z))
"""

ADDED = """\
    x = tl.where(there, x - y[None, :], 0.0)
    large = x * 8193.0
    high = large - (large - x)
    low = tl.trans(2.0 * (x - high))
    twice = tl.dot(high, low, empty, input_precision="tf32")
    return sums + tl.dot(high, tl.trans(high), twice, input_precision="tf32")
"""

BODY = f"""\
    place = tl.program_id(0)
    run = (place // parts).to(tl.int64)
    part = place % parts
    i = tl.arange(0, SIDE)
    rows = table + run * K
    begins = tl.load(rows + i, mask=i < K, other=0).to(POINTER)
    one = tl.load(rows).to(POINTER)
    other = tl.load(rows + K // 2).to(POINTER)
    third = tl.load(rows + K - 1).to(POINTER)
    if ALIGNED:
        begins, one = tl.multiple_of(begins, 16), tl.multiple_of(one, 16)
        other, third = tl.multiple_of(other, 16), tl.multiple_of(third, 16)
    known, there = (begins.to(tl.int64) != 0)[:, None], (i < K)[:, None]
    begins = begins[:, None]
    # The compiler must not see that sums begin at zero: it would let the units add to those before.
    empty = tl.zeros((SIDE, SIDE), tl.float32) + nought
    share = shares + (run * parts + part) * K * K + i[:, None] * K + i[None, :]
    inside = (i < K)[:, None] & (i < K)[None, :]
    width = tl.full((), 0, tl.int64)
    for start in range(part * STRETCH, d, parts * STRETCH):
        stop = tl.minimum(start + STRETCH, d)
        width += stop - start
        sums = tl.zeros((SIDE, SIDE), tl.float32)
        whole = start
        if ALIGNED:
            whole += (stop - start) // 32 * 32
            for at in tl.range(start, whole, 32, num_stages=3):
                c = at + tl.arange(0, 32)
                x = tl.load(begins + c[None, :], mask=known, other=0.0).to(tl.float32)
                y = centre(one, other, third, c, at + 32)
                sums = added(sums, x, y, there, empty)
        c = whole + tl.arange(0, 32)
        next_x, next_y = row(begins, c[None, :], stop), centre(one, other, third, c, stop)
        for _ in range(whole, stop, 32):
            x, y = next_x, next_y
            c += 32
            next_x, next_y = row(begins, c[None, :], stop), centre(one, other, third, c, stop)
            sums = added(sums, x, y, there, empty)
        tl.store(share, tl.load(share, mask=inside, other=0.0) + sums.to(tl.float64), mask=inside)
        tl.debug_barrier()  # another thread may be the next to load it
    # Half of what was added up is turned over: high low' + low high' is made of 2 high low' like this.
    total = tl.load(share, mask=inside, other=0.0)
    square = tl.where(i[:, None] == i[None, :], total, 0.0)
    both = tl.sum(square, 1)[:, None] + tl.sum(square, 0)[None, :]
    found = both - (total + tl.trans(total))
    good = (found > {NEAR} * both) & (found > {TOO_SMALL} * width) & (found < float("inf"))
    tl.store(share, tl.where(good, found, float("nan")), mask=inside)
"""
