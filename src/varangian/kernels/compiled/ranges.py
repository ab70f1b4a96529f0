"""Sums of chosen rows as machine code, straight from where they lie: sums of ranges, halved again and again.

What all sums take is added up once. Of the other rows, in some order, halves, quarters and so on are summed
once, and what a sum takes is put together from a few of those. Nothing is subtracted that a sum is without,
so that a row leaves no trace there.

Everything is added up in float64, or else in float32 as differences from a row that all sums take: that is
exact where the rows, as they are multiplied, agree, and otherwise as exact as they are spread, in half the
time.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.compiled.sums import LINE
from varangian.kernels.compiled.tiles import (
    BYTES,
    PITCH,
    STEP,
    TILE,
    address_of,
    arguments,
    step_compiler,
)

STRIP = 128
"""Bytes of a row that are done at a time; those of a tile are a multiple."""
AHEAD = 512
"""Bytes ahead that memory is asked for."""

DECLARED = (ASKS, "declare i64 @llvm.umin.i64(i64, i64)")


def chosen_sums(element: str, kind: str, factors: bool) -> int:
    """Return the step that sums chosen rows, of which whole tiles lie in memory, in float64 or float32.

    It is given where the rows are, how many of them, at first, all sums take (one at least, if in float32),
    and how many there are; lists of parts, one after the other, of ranges and then of sums: where each ends,
    and all of them; how many ranges; what each sum is multiplied by, and that times the number of its rows;
    how many sums; their tile, in float32; room for all parts of a strip of columns; and a number for every
    tile, counted from column 0, that becomes 1 if a sum is not finite: then what was made is worth nothing.
    Columns that begin within a tile are counted to it. A part is told by its place in that room,
    in bytes: first what all take, then the other rows, and then the ranges. With ``factors`` it is last given
    what each row is multiplied by.
    """
    return address_of(_chosen_sums(element, kind, factors))


def chosen_sums_code(element: str, kind: str, factors: bool) -> str:
    """Return the step ``chosen_sums`` in LLVM's language."""
    at, chip, stored = Assembly(), processor(), ELEMENTS[element]
    lanes = chip.lanes(BYTES[kind])
    strip, about = STRIP // BYTES[kind], kind == "float"
    on = Registers(at, kind, lanes, stored.working)
    parts = range(0, strip, lanes)
    kinds = ("ptr", "i64", "i64", "ptr", "ptr", "i64", "ptr", "i64", *["ptr"] * (4 if factors else 3))
    rows, common, n, ends, listed, ranges, scales, sums, tile, room, lost, *shares = arguments(at, *kinds)
    # Minus zero is what leaves what is added to it as it is.
    nothing = [(on.vector, on.splat(-0.0))] * len(parts)

    def vectors(start: str) -> list[str]:
        return [at.index(start, str(part), kind) for part in parts]

    def keep(values: list[str], place: str) -> None:
        for value, where in zip(values, vectors(place), strict=True):
            at.do(f"store {on.vector} {value}, ptr {where}, align {chip.register_bytes}")

    def number(table: str, place: str) -> str:
        return on.spread(at.get(f"load {kind}, ptr {at.index(table, place, kind)}"))

    def values_of(row: str, column: str) -> list[str]:
        source = at.get(f"load ptr, ptr {at.index(rows, row, 'ptr')}")
        begin = at.index(source, column, stored.memory)
        return [
            on.widened(stored.load(at, at.index(begin, str(part), stored.memory), lanes)) for part in parts
        ]

    def loaded(row: str, column: str, start: list[str]) -> list[str]:
        values = values_of(row, column)
        for share in shares:
            factor = number(share, row)
            values = [on.times(factor, value) for value in values]
        return [on.sub(value, x) for value, x in zip(values, start, strict=True)] if start else values

    def added(name: str, start: str, place: str) -> tuple[list[str], str]:
        """Add up a list that begins there; return the sum, and where the list ends."""
        end = at.get(f"load i64, ptr {at.index(ends, place, 'i64')}")
        with at.counted(name, end, start=start, carried=nothing) as part:
            where = at.get(f"load i64, ptr {at.index(listed, part.counter, 'i64')}")
            for k, x in enumerate(vectors(at.index(room, where, "i8"))):
                value = at.get(f"load {on.vector}, ptr {x}, align {chip.register_bytes}")
                part.values[k] = on.add(part.values[k], value)
        return part.values, end

    def ask(column: str, turn: str) -> None:
        """Ask for some of what comes next, in turns, so that memory is busy while sums are made."""
        begin = at.get(f"mul i64 {turn}, {each}")
        end = at.get(f"call i64 @llvm.umin.i64(i64 {at.get(f'add i64 {begin}, {each}')}, i64 {n})")
        with at.counted("ask", end, start=begin) as row:
            source = at.get(f"load ptr, ptr {at.index(rows, row.counter, 'ptr')}")
            here = at.index(source, column, stored.memory)
            for more in range(0, strip * stored.bytes, LINE):
                at.ask(at.index(here, str(AHEAD + more), "i8"), chip.asked)

    turns = at.get(f"add i64 {n}, {at.get(f'sub i64 {sums}, 1')}")
    each = at.get(f"udiv i64 {turns}, {sums}")
    with at.counted("strip", str(TILE), step=strip, carried=[(on.vector, "zeroinitializer")]) as columns:
        column = at.get(f"add i64 %start, {columns.counter}")
        start = loaded("0", column, []) if about else []
        with at.counted("common", common, carried=nothing) as row:
            for k, value in enumerate(loaded(row.counter, column, start)):
                row.values[k] = on.add(row.values[k], value)
        keep(row.values, room)
        after = at.index(room, "1", f"[{strip} x {kind}]")
        with at.counted("row", n, start=common) as row:
            place = at.get(f"sub i64 {row.counter}, {common}")
            keep(loaded(row.counter, column, start), at.index(after, place, f"[{strip} x {kind}]"))
        made = at.index(after, at.get(f"sub i64 {n}, {common}"), f"[{strip} x {kind}]")
        with at.counted("range", ranges, carried=[("i64", "0")]) as total:
            values, total.values[0] = added("half", total.values[0], total.counter)
            keep(values, at.index(made, total.counter, f"[{strip} x {kind}]"))
        carried = [("i64", total.values[0]), (on.vector, columns.values[0])]
        with at.counted("sum", sums, carried=carried) as total:
            place = at.get(f"add i64 {total.counter}, {ranges}")
            ask(column, total.counter)
            values, total.values[0] = added("part", total.values[0], place)
            pair = at.index(scales, total.counter, f"[2 x {kind}]")
            times, weight = number(pair, "0"), number(pair, "1")
            line = at.index(tile, total.counter, f"[{PITCH} x float]")
            target = at.index(line, columns.counter, "float")
            for k, (part, value) in enumerate(zip(parts, values, strict=True)):
                told = on.fused(times, value, on.times(weight, start[k])) if about else on.times(times, value)
                total.values[1] = on.watched(told, total.values[1])
                at.do(
                    f"store <{lanes} x float> {on.narrowed(told)}, "
                    f"ptr {at.index(target, str(part), 'float')}, align 4"
                )
        columns.values[0] = total.values[1]
    here = at.get(f"zext i1 {on.is_nan_anywhere(columns.values[0])} to i64")
    mark = at.index(lost, at.get(f"udiv i64 %start, {TILE}"), "i64")
    before = at.get(f"load i64, ptr {mark}")
    at.do(f"store i64 {at.get(f'or i64 {here}, {before}')}, ptr {mark}")
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", *DECLARED, *on.declarations(), chip.attributes])


_chosen_sums = step_compiler(chosen_sums_code)
