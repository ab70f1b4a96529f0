"""One weighted sum of rows as machine code, straight from where they lie to where it goes."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

LINE = 64
"""Bytes that memory hands over at a time."""


def sum_columns() -> int:
    """Return how many columns the function does at a time: their sums fill three in four registers."""
    chip = processor()
    return chip.registers * 3 // 4 * chip.lanes(8)


def sum_code(element: str) -> str:
    """Return ``i32 kernel(ptr rows, ptr weights, i64 n, i64 first, i64 last, ptr out)`` in LLVM's language.

    It sums columns ``first`` to ``last``, whose number is a multiple of ``sum_columns``, in float64, as the
    step ``combine`` does. It returns 1 if it met a value that is not finite: then what it wrote is worth
    nothing. Not for float64, where a value may also be too large.
    """
    at, chip, stored = Assembly(), processor(), ELEMENTS[element]
    lanes, width = chip.lanes(8), sum_columns()
    on = Registers(at, "double", lanes, stored.working)
    places = range(0, width, lanes)
    at.enter("entry")
    watch = (on.vector, "zeroinitializer")
    with at.counted("strip", "%last", start="%first", step=width, carried=[watch]) as strip:
        # Minus zero is what leaves a row as it is that is added to it.
        nothing = [(on.vector, on.splat(-0.0))] * len(places)
        with at.counted("row", "%n", carried=nothing) as row:
            start = at.get(f"load ptr, ptr {at.index('%rows', row.counter, 'ptr')}")
            begin = at.index(start, strip.counter, stored.memory)
            for ahead in range(width * stored.bytes, 2 * width * stored.bytes, LINE):
                at.ask(at.index(begin, str(ahead), "i8"))
            weight = on.spread(at.get(f"load double, ptr {at.index('%weights', row.counter, 'double')}"))
            for k, place in enumerate(places):
                value = on.widened(stored.load(at, at.index(begin, str(place), stored.memory), lanes))
                row.values[k] = on.fused(weight, value, row.values[k])
        target = at.index("%out", strip.counter, stored.memory)
        for place, total in zip(places, row.values, strict=True):
            strip.values[0] = on.watched(total, strip.values[0])
            stored.store(at, total, at.index(target, str(place), stored.memory), lanes)
    at.do(f"ret i32 {at.get(f'zext i1 {on.is_nan_anywhere(strip.values[0])} to i32')}")
    return "\n".join(
        [
            "define i32 @kernel(ptr %rows, ptr %weights, i64 %n, i64 %first, i64 %last, ptr %out) #0 {",
            *at.lines,
            "}",
            ASKS,
            *on.declarations(),
            chip.attributes,
        ]
    )
