"""Every column by itself: a program over rows or over a block, compiled where that is possible."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from varangian.kernels import eager
from varangian.kernels.compiled import tasks
from varangian.kernels.compiled.columns import column_code, tile_columns
from varangian.kernels.compiled.jit import Compiler, available
from varangian.kernels.compiled.radix import selection_code, selection_columns, span_of
from varangian.kernels.compiled.tasks import (
    Scratch,
    Stretch,
    addresses,
    begins,
    carry_out,
    few_columns,
    name_of,
    stretches,
)
from varangian.kernels.compiled.tiles import address_of
from varangian.kernels.cuda import columns as on_cuda
from varangian.kernels.cuda.written import serves
from varangian.kernels.parts import Line, Place, over_lines, over_one
from varangian.kernels.programs import Program
from varangian.kernels.rows import Rows, Segment, sound

LARGE = 2**25
"""Bytes of rows that no cache holds: then the result need not push anything out of it either."""

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64

_network = Compiler(column_code, ctypes.c_int32, _POINTER, *[_NUMBER] * 3, *[_POINTER] * 2)
_selection = Compiler(selection_code, ctypes.c_int32, _POINTER, *[_NUMBER] * 5, *[_POINTER] * 2)


def reducible(rows: Rows) -> bool:
    """Tell whether compiled code can read these rows where they lie."""
    if serves(rows.device):
        return on_cuda.reducible(rows)
    return rows.sanitise and rows.adjacent and available()


def reduce(program: Program, rows: Rows, outputs: Sequence[Tensor]) -> None:
    """Write what a program makes of every column, one output ``(*batch, d)`` per segment; reads once."""
    if serves(rows.device):
        on_cuda.reduce(program, rows, outputs)
        return
    rows.reads += 1
    past = is_large(rows.batch_size * rows.n * rows.d * rows.segments[0].sample.itemsize)
    kernels = [kernel_of(program, rows.n, name_of(segment.sample.dtype), past) for segment in rows.segments]
    tables = [addresses(segment.vectors) for segment in rows.segments]
    targets = [begins(output) for output in outputs]
    many = rows.batch_size * rows.n * rows.d > tasks.STRETCH

    def source(place: int, run: int) -> int:
        return tables[place].ctypes.data + 8 * rows.n * run

    lines, owners, left = list[Line](), list[tuple[int, int]](), set[int]()
    for place, (kernel, segment) in enumerate(zip(kernels, rows.segments, strict=True)):
        if not many or not isinstance(kernel, Network) or segment.width < kernel.tile:
            left.add(place)
            continue
        for run, target in enumerate(targets[place]):
            lines.append(kernel.line(source(place, run), target, segment.width))
            owners.append((place, run))
    again = [
        Stretch(*owners[line], start, stop)
        for line, start, stop in over_lines(lines, rows.n, (tables, outputs))
    ]

    def work(stretch: Stretch) -> Tensor | None:
        place, run, start, stop = stretch
        kernel = kernels[place] if place in left else None
        if kernel is not None and kernel.cover(source(place, run), start, stop, targets[place][run]):
            return None
        out = outputs[place].view(rows.batch_size, -1)[run]
        return repaired(program, rows.segments[place].of_run(run), start, stop, out)

    if left:
        tiles = [kernel.tile if kernel else 1 for kernel in kernels]
        again += [stretch for stretch in stretches(rows, tiles) if stretch.segment in left]
    for stretch, counts in zip(again, carry_out(work, again, rows.n), strict=True):
        if counts is not None:
            rows.count(stretch.run, counts)


def reduce_one(kernel: Network, x: Tensor | Sequence[Tensor], out: Float[Tensor, "d"]) -> list[Place] | None:
    """Do the same with a matrix in one piece, or vectors each in one, in as few words as possible.

    They are no narrower than a tile. Return where a value was not finite, so that ``repaired`` must be done;
    or None, if nothing is done.
    """
    d, n = out.shape[0], len(x)
    some = (x,) if isinstance(x, Tensor) else x
    places, size = [vector.data_ptr() for vector in some], out.itemsize
    if any(place == size * one.storage_offset() for place, one in zip(places, some, strict=True)):
        return None  # zeros that have no memory, or what is freed
    if isinstance(x, Tensor):
        return over_one(kernel.line(places[0], out.data_ptr(), d), n, d * size)
    table = (_NUMBER * n)(*places)
    return over_one(kernel.line(ctypes.addressof(table), out.data_ptr(), d), n)


def repaired(program: Program, segment: Segment, start: int, stop: int, out: Tensor) -> Tensor | None:
    """Do the same where values may not be finite, a few columns at a time; return how many each row has."""
    counts = None
    for begin, end in few_columns(start, stop, segment.rows):
        values, found = sound(segment.columns(begin, end))
        out[begin:end] = reduced(program, values)
        if found is not None:
            counts = found if counts is None else counts + found
    return counts


def reduced(program: Program, values: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch c"]:
    """Return what a program makes of every column of a block, in its dtype or in working precision."""
    *batch, n, width = values.shape
    if serves(values.device) and on_cuda.reducible(rows := Rows([Segment(values)])):
        out = values.new_empty(*batch, width)
        on_cuda.reduce(program, rows, [out])
        return out
    possible = values.device.type == "cpu" and available()
    kernel = kernel_of(program, n, name_of(values.dtype)) if possible else None
    if kernel is None:
        return eager.reduced(program, values)
    if width < kernel.tile or values.stride(-1) != 1:
        values = functional.pad(values, (0, max(0, kernel.tile - width))).contiguous()
    out = values.new_empty(*batch, values.shape[-1])
    for table, target in zip(addresses(values), out.view(-1, out.shape[-1]), strict=True):
        if not kernel.cover(table.ctypes.data, 0, len(target), target.data_ptr()):
            return eager.reduced(program, values[..., :width])
    return out[..., :width]


class Kernel:
    """A function that does columns of n rows of a dtype, with what it is told besides."""

    def __init__(self, call: Callable[..., int], n: int, tile: int, *told: int) -> None:
        self.call, self.tile, self.told = call, tile, told
        self.room = 8 * n * tile

    def cover(self, rows: int, start: int, stop: int, out: int) -> bool:
        """Do some columns, a few of them twice to fill the last tile; tell whether all went well.

        It does not where there are fewer columns than a tile has, or where a value is not finite.
        """
        if stop - start < self.tile:
            return False
        whole = start + (stop - start) // self.tile * self.tile
        with Scratch(self.room) as room:
            bad = self.call(rows, *self.told, start, whole, out, room) if whole > start else 0
            bad += self.call(rows, *self.told, stop - self.tile, stop, out, room) if whole < stop else 0
        return not bad


class Network(Kernel):
    """A kernel that is told only whether it writes past the caches: such take part in lines."""

    def __init__(self, call: Callable[..., int], n: int, tile: int, past: bool) -> None:
        super().__init__(call, n, tile, int(past))
        self.code, self.past = address_of(call), int(past)

    def line(self, rows: int, out: int, width: int) -> Line:
        """Return the work on so many columns of the rows in a table, or of a matrix."""
        return Line(self.code, rows, self.past, out, width, self.tile)


def is_large(size: int) -> bool:
    """Tell whether no cache holds so many bytes of rows."""
    return size >= LARGE


@cache
def kernel_of(program: Program, n: int, element: str, past: bool = False) -> Kernel | None:
    """Return a network up to so many rows, a search above; None if only sorting will do.

    ``past``: what a network writes may go past the caches.
    """
    if n <= eager.LONGEST_NETWORK:
        return network_of(program, n, element, past)
    span = span_of(program, n)
    return Kernel(_selection(element), n, selection_columns(element), n, *span) if span else None


@cache
def network_of(program: Program, n: int, element: str, past: bool = False) -> Network:
    """Return the network for so few rows that one will do."""
    return Network(_network(program, n, element), n, tile_columns(n, element), past)
