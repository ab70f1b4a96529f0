"""Norms and signed sums of the blocks of a long vector as machine code, in one read."""

from __future__ import annotations

from collections.abc import Sequence

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS, Element
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

AHEAD = 4096
"""Bytes ahead that memory is asked for."""
LINE = 64
"""Bytes that memory hands over at a time."""
TURNS = 4
"""Registers that add up beside each other, so that none waits for the sum before."""
SUM, ROOT = "@llvm.vector.reduce.fadd", "@llvm.sqrt.f32"


def glance_code(element: str, block: int, scales: bool) -> str:
    """Return ``void kernel(values, signs, length, factor, norms, sums)`` in LLVM's language.

    Of every block of so many values it writes the norm, and the sum of the values times the signs, both in
    float32; the last block is shorter, and may be empty. It ``scales`` the values by the factor, too, after
    it has looked at them: float32 only.
    """
    at, chip, stored = Assembly(), processor(), ELEMENTS[element]
    wide, single = Registers(at, "float", chip.lanes(4)), Registers(at, "float", 1)
    at.enter("entry")
    whole = at.get(f"udiv i64 %length, {block}")
    with at.counted("block", whole) as blocks:
        first = at.get(f"mul i64 {blocks.counter}, {block}")
        _block(at, wide, stored, "column", first, str(block), blocks.counter, scales)
    first = at.get(f"mul i64 {whole}, {block}")
    _block(at, single, stored, "rest", first, at.get(f"sub i64 %length, {first}"), whole, scales)
    at.do("ret void")
    parameters = "ptr %values, ptr %signs, i64 %length, float %factor, ptr %norms, ptr %sums"
    declared = [
        *(f"declare float {SUM}.v{on.lanes}f32(float, {on.vector})" for on in (wide, single)),
        f"declare float {ROOT}(float)",
        ASKS,
        *wide.declarations(),
        *single.declarations(),
        chip.attributes,
    ]
    return "\n".join([f"define void @kernel({parameters}) #0 {{", *at.lines, "}", *declared])


def _block(
    at: Assembly, on: Registers, stored: Element, loop: str, first: str, length: str, place: str, scales: bool
) -> None:
    """Write norm and signed sum of the block that begins at ``first`` to its place."""
    turns = TURNS if on.lanes > 1 else 1
    step = turns * on.lanes
    factor = on.spread("%factor") if scales else ""
    nothing = [(on.vector, on.splat(0.0))] * (2 * turns)
    with at.counted(loop, length, step=step, carried=nothing) as column:
        values = at.index("%values", at.get(f"add i64 {first}, {column.counter}"), stored.memory)
        signs = at.index("%signs", column.counter, "float")
        for ahead in range(0, step * stored.bytes, LINE) if turns > 1 else ():
            at.ask(at.index(values, str(AHEAD + ahead), "i8"), processor().asked)
        for turn in range(turns):
            here = at.index(values, str(turn * on.lanes), stored.memory)
            value = stored.load(at, here, on.lanes)
            there = at.index(signs, str(turn * on.lanes), "float")
            sign = at.get(f"load {on.vector}, ptr {there}, align 4")
            column.values[turn] = on.fused(value, value, column.values[turn])
            column.values[turns + turn] = on.fused(value, sign, column.values[turns + turn])
            if scales:
                at.do(f"store {on.vector} {on.times(value, factor)}, ptr {here}, align 4")
    squares, sums = (_total(at, on, one) for one in (column.values[:turns], column.values[turns:]))
    for target, value in (("%norms", at.get(f"call float {ROOT}(float {squares})")), ("%sums", sums)):
        at.do(f"store float {value}, ptr {at.index(target, place, 'float')}")


def _total(at: Assembly, on: Registers, values: Sequence[str]) -> str:
    total = values[0]
    for value in values[1:]:
        total = on.add(total, value)
    return at.get(f"call reassoc float {SUM}.v{on.lanes}f32(float 0.0, {on.vector} {total})")
