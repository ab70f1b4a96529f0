"""One weighted sum of rows as machine code, straight from where they lie to where it goes."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS, Element
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

LINE = 64
"""Bytes that memory hands over at a time."""


def sum_columns() -> int:
    """Return how many columns a register holds: the function sums multiples of that."""
    return processor().lanes(8)


def sum_code(element: str) -> str:
    """Return ``i32 kernel(ptr rows, ptr weights, i64 n, i64 all, i64 first, i64 last, ptr out)`` for LLVM.

    Of n rows it sums columns ``first`` to ``last``, whose number is a multiple of ``sum_columns``, in
    float64, as the step ``combine`` does; at the rows after them, up to ``all``, it only looks. It returns 1
    if it met a value that is not finite: then what it wrote is worth nothing. Not for float64, where a value
    may also be too large.
    """
    at, chip, stored = Assembly(), processor(), ELEMENTS[element]
    lanes = chip.lanes(8)
    on = Registers(at, "double", lanes, stored.working)
    width = chip.registers * 3 // 4 * lanes
    at.enter("entry")
    rest = at.get(f"urem i64 {at.get('sub i64 %last, %first')}, {width}")
    whole = at.get(f"sub i64 %last, {rest}")
    watch = _strips(at, on, stored, "wide", ("%first", whole), width, "zeroinitializer")
    watch = _strips(at, on, stored, "small", (whole, "%last"), lanes, watch)
    at.do(f"ret i32 {at.get(f'zext i1 {on.is_nan_anywhere(watch)} to i32')}")
    given = "ptr %rows, ptr %weights, i64 %n, i64 %all, i64 %first, i64 %last, ptr %out"
    return "\n".join(
        [
            f"define i32 @kernel({given}) #0 {{",
            *at.lines,
            "}",
            ASKS,
            *on.declarations(),
            chip.attributes,
        ]
    )


def _strips(
    at: Assembly, on: Registers, stored: Element, name: str, ends: tuple[str, str], width: int, watch: str
) -> str:
    """Sum strips of so many columns; return what was watched before, NaN wherever a sum is not finite."""
    places, chip = range(0, width, on.lanes), processor()
    first, last = ends

    def loaded(row: str, column: str) -> list[str]:
        start = at.get(f"load ptr, ptr {at.index('%rows', row, 'ptr')}")
        begin = at.index(start, column, stored.memory)
        for ahead in range(0, width * stored.bytes, LINE):
            later = chip.ahead(width * stored.bytes) + ahead
            at.ask(at.index(begin, str(later), "i8"), chip.asked)
        return [
            on.widened(stored.load(at, at.index(begin, str(place), stored.memory), on.lanes))
            for place in places
        ]

    with at.counted(name, last, start=first, step=width, carried=[(on.vector, watch)]) as strip:
        # Minus zero is what leaves a row as it is that is added to it.
        nothing = [(on.vector, on.splat(-0.0))] * len(places)
        with at.counted(f"{name}.row", "%n", carried=nothing) as row:
            weight = on.spread(at.get(f"load double, ptr {at.index('%weights', row.counter, 'double')}"))
            for k, value in enumerate(loaded(row.counter, strip.counter)):
                row.values[k] = on.fused(weight, value, row.values[k])
        target = at.index("%out", strip.counter, stored.memory)
        for place, total in zip(places, row.values, strict=True):
            strip.values[0] = on.watched(total, strip.values[0])
            stored.store(at, on.narrowed(total), at.index(target, str(place), stored.memory), on.lanes)
        with at.counted(f"{name}.idle", "%all", start="%n", carried=nothing) as row:
            values = loaded(row.counter, strip.counter)
            row.values = [on.watched(value, seen) for value, seen in zip(values, row.values, strict=True)]
        for seen in row.values:
            strip.values[0] = on.watched(seen, strip.values[0])
    return strip.values[0]
