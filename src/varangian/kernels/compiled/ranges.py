"""Sums of chosen rows as machine code, straight from where they lie: sums of ranges, halved again and again.

What all sums take is added up once. Of the other rows, in some order, halves, quarters and so on are summed
once, and what a sum takes is put together from a few of those. Everything is added up in float64, and nothing
is subtracted, so that a row leaves no trace in the sums that are without it.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.compiled.tiles import PITCH, STEP, TILE, address_of, arguments, step_compiler

VECTORS = 4
"""Vectors of columns that are done at a time, so that what is looked up is used so often."""
AHEAD = 256
"""Bytes ahead that memory is asked for."""


def strip_columns() -> int:
    """Return how many columns are done at a time; a tile is a multiple."""
    return VECTORS * processor().lanes(8)


def chosen_sums(element: str, factors: bool) -> int:
    """Return the step that sums chosen rows, of which whole tiles lie in memory.

    It is given where the rows are, how many of them, at first, all sums take, and how many there are; lists
    of parts, one after the other, of ranges and then of sums: where each ends, and all of them; how many
    ranges; what each sum is multiplied by, and how many sums; their tile, in float32; room for all parts of a
    strip of columns; and a number that becomes 1 if a value is not finite: then what was made is worth
    nothing. A part is told by its place in that room, in bytes: first what all take, then the other rows, and
    then the ranges. With ``factors`` it is last given what each row is multiplied by.
    """
    return address_of(_chosen_sums(element, factors))


def chosen_sums_code(element: str, factors: bool) -> str:
    """Return the step ``chosen_sums`` in LLVM's language."""
    at, chip, stored = Assembly(), processor(), ELEMENTS[element]
    lanes, strip = chip.lanes(8), strip_columns()
    on = Registers(at, "double", lanes, stored.working)
    parts = range(0, strip, lanes)
    kinds = ("ptr", "i64", "i64", "ptr", "ptr", "i64", "ptr", "i64", *["ptr"] * (4 if factors else 3))
    rows, common, n, ends, listed, ranges, scales, sums, tile, room, lost, *shares = arguments(at, *kinds)
    # Minus zero is what leaves what is added to it as it is.
    nothing = [(on.vector, on.splat(-0.0))] * len(parts)
    watch = [(on.vector, "zeroinitializer")] * len(parts)

    def vectors(start: str) -> list[str]:
        return [at.index(start, str(part), "double") for part in parts]

    def keep(values: list[str], place: str) -> None:
        for value, where in zip(values, vectors(place), strict=True):
            at.do(f"store {on.vector} {value}, ptr {where}, align 64")

    def loaded(row: str, column: str) -> list[str]:
        start = at.get(f"load ptr, ptr {at.index(rows, row, 'ptr')}")
        begin = at.index(start, column, stored.memory)
        for ahead in range(0, strip * stored.bytes, 64):
            at.ask(at.index(begin, str(AHEAD + ahead), "i8"), chip.asked)
        values = [
            on.widened(stored.load(at, at.index(begin, str(part), stored.memory), lanes)) for part in parts
        ]
        for share in shares:
            factor = on.spread(at.get(f"load double, ptr {at.index(share, row, 'double')}"))
            values = [on.times(factor, value) for value in values]
        return values

    def added(name: str, start: str, place: str) -> tuple[list[str], str]:
        """Add up a list that begins there; return the sum, and where the list ends."""
        end = at.get(f"load i64, ptr {at.index(ends, place, 'i64')}")
        with at.counted(name, end, start=start, carried=nothing) as part:
            where = at.get(f"load i64, ptr {at.index(listed, part.counter, 'i64')}")
            for k, x in enumerate(vectors(at.index(room, where, "i8"))):
                value = at.get(f"load {on.vector}, ptr {x}, align 64")
                part.values[k] = on.add(part.values[k], value)
        return part.values, end

    with at.counted("strip", str(TILE), step=strip, carried=watch) as columns:
        column = at.get(f"add i64 %start, {columns.counter}")
        carried = [*nothing, *((on.vector, seen) for seen in columns.values)]
        with at.counted("common", common, carried=carried) as row:
            for k, value in enumerate(loaded(row.counter, column)):
                row.values[k] = on.add(row.values[k], value)
                row.values[len(parts) + k] = on.watched(value, row.values[len(parts) + k])
        keep(row.values[: len(parts)], room)
        after = at.index(room, "1", f"[{strip} x double]")
        carried = [(on.vector, seen) for seen in row.values[len(parts) :]]
        with at.counted("row", n, start=common, carried=carried) as row:
            values = loaded(row.counter, column)
            row.values = [on.watched(x, seen) for x, seen in zip(values, row.values, strict=True)]
            place = at.get(f"sub i64 {row.counter}, {common}")
            keep(values, at.index(after, place, f"[{strip} x double]"))
        columns.values = row.values
        made = at.index(after, at.get(f"sub i64 {n}, {common}"), f"[{strip} x double]")
        with at.counted("range", ranges, carried=[("i64", "0")]) as total:
            values, total.values[0] = added("half", total.values[0], total.counter)
            keep(values, at.index(made, total.counter, f"[{strip} x double]"))
        with at.counted("sum", sums, carried=[("i64", total.values[0])]) as total:
            place = at.get(f"add i64 {total.counter}, {ranges}")
            values, total.values[0] = added("part", total.values[0], place)
            times = on.spread(at.get(f"load double, ptr {at.index(scales, total.counter, 'double')}"))
            line = at.index(tile, total.counter, f"[{PITCH} x float]")
            target = at.index(line, columns.counter, "float")
            for part, value in zip(parts, values, strict=True):
                narrow = on.narrowed(on.times(times, value))
                at.do(
                    f"store <{lanes} x float> {narrow}, ptr {at.index(target, str(part), 'float')}, align 4"
                )
    here = at.get(f"zext i1 {on.is_nan_anywhere(on.sum(columns.values))} to i64")
    before = at.get(f"load i64, ptr {lost}")
    at.do(f"store i64 {at.get(f'or i64 {here}, {before}')}, ptr {lost}")
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", ASKS, *dict.fromkeys(on.declarations()), chip.attributes])


_chosen_sums = step_compiler(chosen_sums_code)
