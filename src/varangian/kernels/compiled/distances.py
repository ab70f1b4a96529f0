"""Squared distances on a tile of rows as machine code: of the rows of two blocks, or of one with each other.

The sums of a pair of blocks stay in registers over a tile, and are added up in float64 from tile to tile.
"""

from __future__ import annotations

import platform
from itertools import combinations, product
from typing import NamedTuple

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.compiled.tiles import BYTES, STEP, TILE, address_of, arguments, step_compiler

LONG = 4 * TILE
"""Columns that a pair of blocks is compared on at a time where they lie: memory is read in long runs."""

PANEL = 32 * TILE
"""Columns whose tables are added up where they are made; panels are added up in order afterwards."""

FLUSH = 0x8040
"""Bits of an x86 processor's state: what is too small for its exponent is read and written as zero."""


class Ahead(NamedTuple):
    """What memory is asked for while a pair of blocks is compared: of so many rows, the next tile."""

    element: str
    together: int


class Shape(NamedTuple):
    """What is compared: so many rows with so many others, or, if there are none, with each other."""

    rows: int
    others: int

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Return which row is compared with which."""
        if self.others:
            return list(product(range(self.rows), range(self.others)))
        return list(combinations(range(self.rows), 2))


def side() -> int:
    """Return how many rows a block has: all sums of a pair, a block, and one more row fit into registers."""
    return 5 if processor().registers >= 32 else 3


def shapes(last: int) -> list[Shape]:
    """Return the shapes of pairs of blocks, the last of which has so many rows, in the order of their turns.

    They are a block and another, or the last; then a block with itself, or the last with itself.
    """
    sizes = list(dict.fromkeys([side(), last]))
    return [*(Shape(side(), size) for size in sizes), *(Shape(size, 0) for size in sizes)]


def pairs(kind: str, last: int, ahead: Ahead | None = None) -> int:
    """Return the step that adds to the tables of pairs of blocks, the last of which has so many rows.

    It is given where the pairs are (twice the number of a block), in the order of their ``shapes``; how many
    there are of each; where the rows are, and 0 if that is in the tile, 1 if where they lie, from their first
    column on, ``LONG`` columns at a time; where the tables of float64 are (panels, pairs, side, side), and
    the first column of the first panel; with ``ahead`` also where the rows lie, and how many. Float32 that
    are too small for their exponent count as zero, where they would take a hundred times as long.
    """
    return address_of(_pairs(kind, last, ahead))


def pairs_code(kind: str, last: int, ahead: Ahead | None) -> str:
    """Return the step ``pairs`` in LLVM's language."""
    at, lanes = Assembly(), processor().lanes(BYTES[kind])
    table, counts, rows, moves, out, first, *more = arguments(
        at, "ptr", "ptr", "ptr", "i64", "ptr", "i64", *(("ptr", "i64") if ahead else ())
    )
    begin = at.get(f"mul i64 %start, {moves}")
    columns = at.get(f"add i64 {TILE}, {at.get(f'mul i64 {moves}, {LONG - TILE}')}")
    soon = at.get(f"add i64 %start, {columns}")
    flush = kind == "float" and platform.machine().lower() in ("x86_64", "amd64")
    if flush:
        _flush(at)
    ends = ["0"]
    for place in range(len(shapes(last))):
        count = at.get(f"load i64, ptr {at.index(counts, str(place), 'i64')}")
        ends.append(at.get(f"add i64 {ends[-1]}, {count}"))
    panel = at.get(f"udiv i64 {at.get(f'sub i64 %start, {first}')}, {PANEL}")
    here = at.index(out, at.get(f"mul i64 {panel}, {ends[-1]}"), _table_of())
    for place, shape in enumerate(shapes(last)):
        if shape.pairs:
            with at.counted(f"pair{place}", ends[place + 1], start=ends[place]) as pair:
                entry = at.index(table, pair.counter, "{ i64, i64 }")
                blocks = [at.get(f"load i64, ptr {at.index(entry, str(one), 'i64')}") for one in range(2)]
                starts = [
                    [
                        at.index(at.get(f"load ptr, ptr {at.index(places, str(row), 'ptr')}"), begin, kind)
                        for row in range(count)
                    ]
                    for block, count in zip(blocks, shape, strict=True)
                    for places in [at.index(rows, block, f"[{side()} x ptr]")]
                ]
                later = _later(at, ahead, pair.counter, soon, *more) if ahead else []
                table_of_pair = at.index(here, pair.counter, _table_of())
                with at.counted(f"tile{place}", "%width", step=TILE) as tile:
                    begins = [[at.index(row, tile.counter, kind) for row in rows] for rows in starts]
                    asked = [(at.index(row, tile.counter, element), element) for row, element in later]
                    sums = _compared(at, f"column{place}", kind, shape, begins, asked)
                    _add(at, kind, shape, sums, table_of_pair)
    if flush:
        at.do("call void @llvm.x86.sse.ldmxcsr(ptr %before)")
    at.do("ret void")
    return "\n".join(
        [
            STEP,
            *at.lines,
            "}",
            *Registers(at, kind, lanes).declarations(),
            ASKS,
            "declare i64 @llvm.umin.i64(i64, i64)",
            "declare void @llvm.x86.sse.stmxcsr(ptr)" if flush else "",
            "declare void @llvm.x86.sse.ldmxcsr(ptr)" if flush else "",
            processor().attributes,
        ]
    )


def _compared(
    at: Assembly, name: str, kind: str, shape: Shape, starts: list[list[str]], later: list[tuple[str, str]]
) -> list[str]:
    """Go over a tile; return the sums of squares of a shape's pairs, each still in as many parts as lanes.

    Meanwhile memory is asked for what is wanted ``later``: where that begins, and its element.
    """
    lanes, size = processor().lanes(BYTES[kind]), BYTES[kind]
    on = Registers(at, kind, lanes)
    zeros = [(on.vector, "zeroinitializer")] * len(shape.pairs)
    with at.counted(name, str(TILE), step=lanes, carried=zeros) as column:
        for start, element in later:
            at.ask(at.index(start, column.counter, element), 2)

        def numbers(start: str) -> str:
            where = at.index(start, column.counter, kind)
            return at.get(f"load {on.vector}, ptr {where}, align {size}")

        one: dict[int, str] = {}  # loaded when they are needed, or registers would not suffice
        other = list(map(numbers, starts[1] or starts[0]))
        for place, (i, j) in enumerate(shape.pairs):
            if i not in one:
                one[i] = numbers(starts[0][i]) if shape.others else other[i]
            gap = on.sub(one[i], other[j])
            column.values[place] = on.fused(gap, gap, column.values[place])
    return column.values


def _later(
    at: Assembly, ahead: Ahead, pair: str, column: str, rows: str, count: str
) -> list[tuple[str, str]]:
    """Return where the next columns begin in the rows that are asked for meanwhile, and their element."""
    last, memory, places = at.get(f"sub i64 {count}, 1"), ELEMENTS[ahead.element].memory, []
    for turn in range(ahead.together):
        row = at.get(f"add i64 {at.get(f'mul i64 {pair}, {ahead.together}')}, {turn}")
        row = at.get(f"call i64 @llvm.umin.i64(i64 {row}, i64 {last})")
        start = at.get(f"load ptr, ptr {at.index(rows, row, 'ptr')}")
        places.append((at.index(start, column, memory), memory))
    return places


def _flush(at: Assembly) -> None:
    for name in ("%before", "%meanwhile"):
        at.do(f"{name} = alloca i32")
    at.do("call void @llvm.x86.sse.stmxcsr(ptr %before)")
    state = at.get(f"or i32 {at.get('load i32, ptr %before')}, {FLUSH}")
    at.do(f"store i32 {state}, ptr %meanwhile")
    at.do("call void @llvm.x86.sse.ldmxcsr(ptr %meanwhile)")


def _add(at: Assembly, kind: str, shape: Shape, sums: list[str], target: str) -> None:
    """Add what the sums of a shape's pairs come to, all added up in one order, to a table of float64."""
    lanes = processor().lanes(BYTES[kind])
    vector, area = f"<{lanes} x {kind}>", side() ** 2
    table = ["zeroinitializer"] * (area + -area % lanes)
    for (i, j), one in zip(shape.pairs, sums, strict=True):
        table[i * side() + j] = one
    for begin in range(0, area, lanes):
        count = min(lanes, area - begin)
        some, wide = _totals(at, table[begin : begin + lanes], lanes, vector), f"<{count} x double>"
        if count < lanes:
            chosen = ", ".join(f"i32 {place}" for place in range(count))
            some = at.get(f"shufflevector {vector} {some}, {vector} poison, <{count} x i32> <{chosen}>")
        if kind == "float":
            some = at.get(f"fpext <{count} x float> {some} to {wide}")
        place = at.index(target, str(begin), "double")
        before = at.get(f"load {wide}, ptr {place}, align 8")
        at.do(f"store {wide} {at.get(f'fadd {wide} {before}, {some}')}, ptr {place}, align 8")


def _totals(at: Assembly, vectors: list[str], lanes: int, vector: str) -> str:
    """Return the sums over the lanes of as many vectors."""
    while len(vectors) > 1:
        halves = [
            [_every_other(at, one, other, lanes, vector, first) for first in range(2)]
            for one, other in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        vectors = [at.get(f"fadd {vector} {even}, {odd}") for even, odd in halves]
    return vectors[0]


def _every_other(at: Assembly, one: str, other: str, lanes: int, vector: str, first: int) -> str:
    chosen = ", ".join(f"i32 {place}" for place in range(first, 2 * lanes, 2))
    return at.get(f"shufflevector {vector} {one}, {vector} {other}, <{lanes} x i32> <{chosen}>")


def _table_of() -> str:
    """Return the kind of a pair's table."""
    return f"[{side() ** 2} x double]"


_pairs = step_compiler(pairs_code)
