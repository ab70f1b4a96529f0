"""Squares and signed sums of the blocks of a long vector as machine code, in one read."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

AHEAD = 4096
"""Bytes ahead that memory is asked for."""
LINE = 64
"""Bytes that memory hands over at a time."""
TURNS = 4
"""Registers that add up beside each other, so that none waits for the sum before."""


def glance_code(element: str, block: int, scales: bool) -> str:
    """Return ``void kernel(values, signs, count, factor, squares, sums)`` in LLVM's language.

    Of ``count`` blocks of so many values it writes the sum of the squares, and that of the values times the
    signs, in float32. It ``scales`` the values by the factor, too, after it has looked at them: float32 only.
    """
    at, chip, stored = Assembly(), processor(), ELEMENTS[element]
    lanes = chip.lanes(4)
    on = Registers(at, "float", lanes)
    step = TURNS * lanes
    at.enter("entry")
    factor = on.spread("%factor") if scales else ""
    with at.counted("block", "%count") as blocks:
        begin = at.get(f"mul i64 {blocks.counter}, {block}")
        nothing = [(on.vector, on.splat(0.0))] * (2 * TURNS)
        with at.counted("column", str(block), step=step, carried=nothing) as column:
            first = at.index("%values", at.get(f"add i64 {begin}, {column.counter}"), stored.memory)
            for ahead in range(0, step * stored.bytes, LINE):
                at.ask(at.index(first, str(AHEAD + ahead), "i8"))
            for turn in range(TURNS):
                place = at.index(first, str(turn * lanes), stored.memory)
                value = stored.load(at, place, lanes)
                where = at.index("%signs", at.get(f"add i64 {column.counter}, {turn * lanes}"), "float")
                sign = at.get(f"load {on.vector}, ptr {where}, align 4")
                column.values[turn] = on.fused(value, value, column.values[turn])
                column.values[TURNS + turn] = on.fused(value, sign, column.values[TURNS + turn])
                if scales:
                    at.do(f"store {on.vector} {on.times(value, factor)}, ptr {place}, align 4")
        for target, values in (("%squares", column.values[:TURNS]), ("%sums", column.values[TURNS:])):
            total = values[0]
            for value in values[1:]:
                total = on.add(total, value)
            call = f"call reassoc float @llvm.vector.reduce.fadd.v{lanes}f32(float 0.0, {on.vector} {total})"
            at.do(f"store float {at.get(call)}, ptr {at.index(target, blocks.counter, 'float')}")
    at.do("ret void")
    parameters = "ptr %values, ptr %signs, i64 %count, float %factor, ptr %squares, ptr %sums"
    declared = [
        f"declare float @llvm.vector.reduce.fadd.v{lanes}f32(float, {on.vector})",
        ASKS,
        *on.declarations(),
        chip.attributes,
    ]
    return "\n".join([f"define void @kernel({parameters}) #0 {{", *at.lines, "}", *declared])
