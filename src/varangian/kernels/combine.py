"""Weighted sums of rows that lie in memory, by compiled code: no row is gathered or copied whole.

Sums are taken in float64, tile by tile; those that only a column program sees may be taken in float32, about
a row that all of them take. A row that weighs nothing is not read, unless it is the first time that rows are:
then what is not finite has to be counted. A row that alone weighs one comes out to the bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.columns import Kernel, network_of
from varangian.kernels.compiled.combine import columns
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.jit import Compiler
from varangian.kernels.compiled.sums import sum_code, sum_columns
from varangian.kernels.compiled.tasks import Scratch, Stretch, addresses, carry_out, name_of, stretches
from varangian.kernels.compiled.tiles import TILE, Step, address_of, give, run
from varangian.kernels.cuda import combinations as on_cuda
from varangian.kernels.cuda.tables import readable as on_a_card
from varangian.kernels.cuda.written import serves
from varangian.kernels.eager import LONGEST_NETWORK
from varangian.kernels.places import Places, readable
from varangian.kernels.programs import Program, headroom
from varangian.kernels.ranges import Ranges
from varangian.kernels.rows import FEW, Rows
from varangian.kernels.shares import ROW, Shares

WORKING = {"float": "float32", "double": "float64"}
"""Kinds of numbers in a tile, by the names of dtypes."""

FEW_STRETCHES = 2
"""Stretches of long rows for a lane, each of which takes a while to prepare."""

LONG_WORK = 2**32
"""Products in a stretch at most: Python looks between two of them whether it is interrupted."""

Columns = tuple[int, int]
"""Where some begin and end."""

Finish = Callable[[Stretch, NDArray[np.uint64], int], Sequence[Step]]
"""What is done with sums in a tile, given the stretch, where they are, and where memory is free."""


class Targets:
    """Where results go, which must be there as long as anything may write to them."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        self.outputs = outputs
        self._places = [addresses(output) for output in outputs]

    def of(self, part: Stretch) -> NDArray[np.uint64]:
        """Return where they begin for a run in a segment."""
        where: NDArray[np.uint64] = self._places[part.segment][part.run]
        return where


def shares_of(rows: Rows, weights: Float[Tensor, "*batch m k"]) -> list[Shares]:
    """Return the shares of every run, in a read that has begun; in the first, every row is looked at."""
    table = weights.expand(*rows.batch, *weights.shape[-2:]).reshape(-1, *weights.shape[-2:])
    return [Shares.of(one, rows.n, all_rows=rows.reads == 1) for one in table.double().cpu().numpy()]


def few(rows: Rows, m: int) -> int:
    """Return how many stretches a lane takes where every column of the rows is made into m sums."""
    return max(FEW_STRETCHES, rows.n * m * rows.d // LONG_WORK)


def combinable(rows: Rows) -> bool:
    """Tell whether kernels can add up these rows, and the extras beside them, where they lie."""
    return on_a_card(rows) if serves(rows.device) else readable(rows)


def reducible_mix(rows: Rows, m: int) -> bool:
    """Tell whether kernels can run a program on m sums of these rows."""
    return on_cuda.reducible_mix(rows, m) if serves(rows.device) else compilable(rows, m)


def compilable(rows: Rows, m: int) -> bool:
    """Tell whether code compiled for this processor can do that."""
    return readable(rows) and rows.sanitise and m <= LONGEST_NETWORK


def combined(rows: Rows, weights: Float[Tensor, "*batch m k"], outputs: Sequence[Tensor]) -> None:
    """Write the sums of the rows and then the extras, ``(*batch, m, d)`` per segment."""
    if serves(rows.device):
        on_cuda.combine(weights, rows, outputs)
        return
    targets = Targets(outputs)
    kinds = [_kind(segment.sample.dtype) for segment in rows.segments]

    def finish(part: Stretch, points: NDArray[np.uint64], _: int) -> list[Step]:
        return [_give(rows, part, kinds, targets, points)]

    _go_over(rows, weights, kinds, finish, 0, targets)


def reduced_mix(
    program: Program, rows: Rows, weights: Float[Tensor, "*batch m k"], outputs: Sequence[Tensor]
) -> None:
    """Write what a program makes of the sums, ``(*batch, d)`` per segment; they are never stored whole."""
    if serves(rows.device):
        on_cuda.reduce_mix(program, rows, weights, outputs)
        return
    m = weights.shape[-2]
    kinds = ["double" if rows.d < FEW else _kind(segment.sample.dtype) for segment in rows.segments]
    kernels = [network_of(program, m, WORKING[kind]) for kind in kinds]
    targets = Targets([output[..., None, :] for output in outputs])

    def finish(part: Stretch, points: NDArray[np.uint64], free: int) -> list[Step]:
        result = np.array([free], dtype=np.uint64)
        return [
            column_step(kernels[part.segment], kinds[part.segment], points, free, free + ROW),
            _give(rows, part, kinds, targets, result),
        ]

    _go_over(rows, weights, kinds, finish, ROW + max(column_room(kernel, m) for kernel in kernels))


def column_step(kernel: Kernel, kind: str, points: NDArray[np.uint64], out: int, free: int) -> Step:
    """Return the step that runs a program on rows of a tile, given where they are."""
    m = len(points)
    where = (points, m, int(headroom(m)), out, free, free + kernel.room)
    return Step.of(columns(kind), address_of(kernel.call), *where)


def column_room(kernel: Kernel, m: int) -> int:
    """Return how many bytes must be free for that."""
    return kernel.room + ROW * (m + 2)


def _kind(dtype: torch.dtype) -> str:
    return ELEMENTS[name_of(dtype)].working


def _give(
    rows: Rows, part: Stretch, kinds: Sequence[str], targets: Targets, points: NDArray[np.uint64]
) -> Step:
    element = name_of(rows.segments[part.segment].sample.dtype)
    return Step.of(give(element, kinds[part.segment]), targets.of(part), points, len(points))


def _go_over(
    rows: Rows,
    weights: Tensor,
    kinds: Sequence[str],
    finish: Finish,
    more: int,
    targets: Targets | None = None,
) -> None:
    """Read the rows once; make the sums in a tile, and let them be finished there.

    Where the sums are all that is wanted, ``targets`` says where; a single one needs no tile.
    """
    rows.reads += 1
    m = weights.shape[-2]
    places, shares = Places(rows), shares_of(rows, weights)
    ranges = [share.ranges if m > 1 else None for share in shares]

    def work(part: Stretch) -> NDArray[np.int64] | None:
        share, kind, left = shares[part.run], kinds[part.segment], [(part.start, part.stop)]
        if targets is not None and m == 1 and kind == "float" and share.real:
            left = _sum(places, part, share, int(targets.of(part)[0]))
        elif kind == "float" and (of_ranges := ranges[part.run]) is not None:
            left = _sum_ranges(places, part, share, of_ranges, finish, more, exact=targets is not None)
        if not left:
            return None
        with Scratch(share.room + more) as tile:
            load, counts = places.load(part, share.rows, kind, tile)
            sums, made, free = share.steps(kind, tile)
            steps = [load, *sums, *finish(part, share.points(kind, made), free)]
            for start, stop in left:
                run(steps, start, stop)
        return places.found(share.rows, counts)

    parts = list(stretches(rows, [TILE] * len(rows.segments), each=few(rows, m)))
    for part, found in zip(parts, carry_out(work, parts, rows.n), strict=True):
        if found is not None and found.any():
            rows.count(part.run, torch.from_numpy(found))


def _sum_ranges(
    places: Places, part: Stretch, share: Shares, ranges: Ranges, finish: Finish, more: int, *, exact: bool
) -> list[Columns]:
    """Make sums from the rows where they lie, and let them be finished; a few twice to fill the last tile.

    Return what is left: all columns if they are fewer than a tile has, or else the tiles, which do not depend
    on where stretches are cut, in which a value is not finite.
    """
    if part.stop - part.start < TILE:
        return [(part.start, part.stop)]
    tiles, height = (part.stop - part.start) // TILE, ROW * len(ranges.scales)
    whole, lost = part.start + tiles * TILE, np.zeros(tiles + 1, np.int64)
    with Scratch(ranges.room + height + more) as free:
        made = free + ranges.room
        marks = lost.ctypes.data - part.start // TILE * lost.itemsize
        sums = ranges.step(places.element(part), places.of(part, share.rows), made, free, marks, exact=exact)
        steps = [sums, *finish(part, share.points("float", made), made + height)]
        run(steps, part.start, whole)
        left = [(start := part.start + int(tile) * TILE, start + TILE) for tile in lost.nonzero()[0]]
        if whole < part.stop:
            lost[:] = 0
            run(steps, part.stop - TILE, part.stop)
            left += [(whole, part.stop)] if lost.any() else []
    return left


def _sum(places: Places, part: Stretch, share: Shares, out: int) -> list[Columns]:
    """Make the one sum where it goes, as far as whole lines of memory reach; return what is left.

    That is everything if a value is not finite.
    """
    element = places.element(part)
    stop = part.stop - (part.stop - part.start) % sum_columns(element)
    where, weights = places.of(part, share.rows), share.single
    call = _direct(element)
    given = (where.ctypes.data, weights.ctypes.data, share.weighing, len(where))
    if stop > part.start and call(*given, part.start, stop, out):
        return [(part.start, part.stop)]
    return [(stop, part.stop)] if stop < part.stop else []


_direct = Compiler(
    sum_code,
    ctypes.c_int32,
    *[ctypes.c_void_p] * 2,
    *[ctypes.c_int64] * 4,
    ctypes.c_void_p,
)
