"""Squared distances on a tile of rows as machine code: every row of a block with every row of another.

The sums of a pair of blocks stay in registers over a tile, and are added up in float64 from tile to tile.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.tiles import BYTES, PITCH, STEP, TILE, address_of, arguments, step_compiler

PANEL = 32 * TILE
"""Columns whose tables are added up where they are made; panels are added up in order afterwards."""

FLUSH = 0x8040
"""Bits of an x86 processor's state: what is too small for its exponent is read and written as zero."""


class Ahead(NamedTuple):
    """What memory is asked for while a pair of blocks is compared: of so many rows, the next tile."""

    element: str
    together: int


def side() -> int:
    """Return how many rows a block has: all sums of a pair, and the rows themselves, fit into registers."""
    return 4 if processor().registers >= 32 else 3


def pairs(kind: str, ahead: Ahead | None = None) -> int:
    """Return the step that adds to the tables of pairs of blocks.

    It is given where the pairs are (twice the number of a block), how many, the tile, where the tables of
    float64 are (panels, pairs, side, side), and the first column of the first panel; with ``ahead`` also
    where the rows are that the next tile will be taken from, and how many. Float32 that are too small for
    their exponent count as zero, where they would take a hundred times as long.
    """
    return address_of(_pairs(kind, ahead))


def pairs_code(kind: str, ahead: Ahead | None) -> str:
    """Return the step ``pairs`` in LLVM's language."""
    at, chip, rows = Assembly(), processor(), side()
    lanes, size = chip.lanes(BYTES[kind]), BYTES[kind]
    vector, area = f"<{lanes} x {kind}>", rows * rows
    letters = "f32" if kind == "float" else "f64"
    table, count, tile, out, first, *more = arguments(
        at, "ptr", "i64", "ptr", "ptr", "i64", *(("ptr", "i64") if ahead else ())
    )
    flush = kind == "float" and platform.machine().lower() in ("x86_64", "amd64")
    if flush:
        _flush(at)
    panel = at.get(f"udiv i64 {at.get(f'sub i64 %start, {first}')}, {PANEL}")
    here = at.index(out, at.get(f"mul i64 {panel}, {count}"), f"[{area} x double]")
    with at.counted("pair", count) as pair:
        entry = at.index(table, pair.counter, "{ i64, i64 }")
        blocks = [at.get(f"load i64, ptr {at.index(entry, str(place), 'i64')}") for place in range(2)]
        starts = [at.index(tile, block, f"[{rows * PITCH} x {kind}]") for block in blocks]
        later = _later(at, ahead, pair.counter, *more) if ahead else []
        zeros = [(vector, "zeroinitializer")] * area
        with at.counted("column", str(TILE), step=lanes, carried=zeros) as column:
            for start in later:
                line = at.index(start, column.counter, ELEMENTS[ahead.element].memory if ahead else "i8")
                at.ask(line, 2)
            one, other = (
                [
                    _row(at, start, row, column.counter, kind, f"load {vector}", size * lanes)
                    for row in range(rows)
                ]
                for start in starts
            )
            for place in range(area):
                x, y, before = one[place // rows], other[place % rows], column.values[place]
                gap = at.get(f"fsub {vector} {x}, {y}")
                added = f"{vector} {gap}, {vector} {gap}, {vector} {before}"
                column.values[place] = at.get(f"call {vector} @llvm.fmuladd.v{lanes}{letters}({added})")
        target = at.index(here, pair.counter, f"[{area} x double]")
        sums = column.values + ["zeroinitializer"] * (-area % lanes)
        for begin in range(0, area, lanes):
            some = _sums(at, sums[begin : begin + lanes], lanes, vector)
            _add(at, some, min(lanes, area - begin), lanes, kind, at.index(target, str(begin), "double"))
    if flush:
        at.do("call void @llvm.x86.sse.ldmxcsr(ptr %before)")
    at.do("ret void")
    return "\n".join(
        [
            STEP,
            *at.lines,
            "}",
            f"declare {vector} @llvm.fmuladd.v{lanes}{letters}({vector}, {vector}, {vector})",
            ASKS,
            "declare i64 @llvm.umin.i64(i64, i64)",
            "declare void @llvm.x86.sse.stmxcsr(ptr)" if flush else "",
            "declare void @llvm.x86.sse.ldmxcsr(ptr)" if flush else "",
            chip.attributes,
        ]
    )


def _later(at: Assembly, ahead: Ahead, pair: str, rows: str, count: str) -> list[str]:
    """Return where the next tile begins in the rows that are asked for meanwhile."""
    last, places = at.get(f"sub i64 {count}, 1"), []
    for turn in range(ahead.together):
        row = at.get(f"add i64 {at.get(f'mul i64 {pair}, {ahead.together}')}, {turn}")
        row = at.get(f"call i64 @llvm.umin.i64(i64 {row}, i64 {last})")
        start = at.get(f"load ptr, ptr {at.index(rows, row, 'ptr')}")
        memory = ELEMENTS[ahead.element].memory
        places.append(at.index(at.index(start, "%start", memory), str(TILE), memory))
    return places


def _flush(at: Assembly) -> None:
    for name in ("%before", "%meanwhile"):
        at.do(f"{name} = alloca i32")
    at.do("call void @llvm.x86.sse.stmxcsr(ptr %before)")
    state = at.get(f"or i32 {at.get('load i32, ptr %before')}, {FLUSH}")
    at.do(f"store i32 {state}, ptr %meanwhile")
    at.do("call void @llvm.x86.sse.ldmxcsr(ptr %meanwhile)")


def _row(at: Assembly, start: str, row: int, column: str, kind: str, load: str, size: int) -> str:
    place = at.index(at.index(start, str(row * PITCH), kind), column, kind)
    return at.get(f"{load}, ptr {place}, align {size}")


def _sums(at: Assembly, vectors: list[str], lanes: int, vector: str) -> str:
    """Return the sums over the lanes of as many vectors, each added up in the same order."""
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


def _add(at: Assembly, sums: str, count: int, lanes: int, kind: str, target: str) -> None:
    """Add the first few of a vector to numbers in float64."""
    wide = f"<{count} x double>"
    if count < lanes:
        chosen = ", ".join(f"i32 {place}" for place in range(count))
        of = f"<{lanes} x {kind}>"
        sums = at.get(f"shufflevector {of} {sums}, {of} poison, <{count} x i32> <{chosen}>")
    if kind == "float":
        sums = at.get(f"fpext <{count} x float> {sums} to {wide}")
    before = at.get(f"load {wide}, ptr {target}, align 8")
    at.do(f"store {wide} {at.get(f'fadd {wide} {before}, {sums}')}, ptr {target}, align 8")


_pairs = step_compiler(pairs_code)
