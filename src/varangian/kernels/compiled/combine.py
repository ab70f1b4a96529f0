"""Weighted sums of the rows of a tile as machine code, in float64, and what is done to them."""

from __future__ import annotations

import numpy as np

from varangian.kernels.compiled.assembly import Assembly
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.compiled.tiles import BYTES, PITCH, STEP, TILE, address_of, arguments, step_compiler

TOGETHER = 4
"""Sums that are made together, so that what is loaded and widened is used so often."""


def combine(kind: str) -> int:
    """Return the step that makes weighted sums.

    It is given the weights (of ``TOGETHER`` sums at a time: for every row, one for each of them), how many
    times ``TOGETHER`` sums there are, how many rows, their tile, and the tile of the sums.
    """
    return address_of(_combine(kind))


def combine_code(kind: str) -> str:
    """Return the step ``combine`` in LLVM's language."""
    at, chip = Assembly(), processor()
    lanes = chip.lanes(8)
    vectors = 4 if chip.registers >= 32 else 2
    on = Registers(at, "double", lanes, kind)
    weights, groups, n, tile, target = arguments(at, "ptr", "i64", "i64", "ptr", "ptr")
    # Minus zero is what leaves a row as it is that is added to it.
    nothing = [(on.vector, on.splat(-0.0))] * (TOGETHER * vectors)
    with at.counted("group", groups) as group:
        first = at.get(f"mul i64 {group.counter}, {n}")
        given = at.index(weights, first, f"[{TOGETHER} x double]")
        made = at.index(target, group.counter, f"[{TOGETHER * PITCH} x {kind}]")
        with at.counted("column", str(TILE), step=vectors * lanes) as column:
            with at.counted("row", n, carried=nothing) as row:
                source = at.index(tile, row.counter, f"[{PITCH} x {kind}]")
                values = [
                    on.widened(at.get(_load(at, source, column.counter, v, lanes, kind)))
                    for v in range(vectors)
                ]
                here = at.index(given, row.counter, f"[{TOGETHER} x double]")
                for output in range(TOGETHER):
                    weight = _everywhere(at, at.index(here, str(output), "double"), on)
                    for v in range(vectors):
                        place = output * vectors + v
                        added = (
                            f"{on.vector} {weight}, {on.vector} {values[v]}, {on.vector} {row.values[place]}"
                        )
                        row.values[place] = at.get(f"call {on.vector} @llvm.fmuladd.v{lanes}f64({added})")
            for place, total in enumerate(row.values):
                output, v = divmod(place, vectors)
                _store(at, total, at.index(made, str(output * PITCH), kind), column.counter, v, lanes, kind)
    at.do("ret void")
    declared = f"declare {on.vector} @llvm.fmuladd.v{lanes}f64({on.vector}, {on.vector}, {on.vector})"
    return "\n".join([STEP, *at.lines, "}", declared, chip.attributes])


def scaled(kind: str) -> int:
    """Return the step that multiplies rows of a tile.

    It is given where the rows are, what each is multiplied by, how many, and the tile of what is made.
    """
    return address_of(_scaled(kind))


def scaled_code(kind: str) -> str:
    """Return the step ``scaled`` in LLVM's language."""
    at, lanes = Assembly(), processor().lanes(8)
    on = Registers(at, "double", lanes, kind)
    rows, factors, n, target = arguments(at, "ptr", "ptr", "i64", "ptr")
    with at.counted("row", n) as row:
        source = at.get(f"load ptr, ptr {at.index(rows, row.counter, 'ptr')}")
        factor = _everywhere(at, at.index(factors, row.counter, "double"), on)
        made = at.index(target, row.counter, f"[{PITCH} x {kind}]")
        with at.counted("column", str(TILE), step=lanes) as column:
            value = on.widened(at.get(_load(at, source, column.counter, 0, lanes, kind)))
            _store(at, on.times(factor, value), made, column.counter, 0, lanes, kind)
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", processor().attributes])


def shifted() -> int:
    """Return the step that adds shares of two rows of a tile of float64 to others.

    It is given where the others are, two shares for each, how many there are, where the two rows are, and the
    tile of what is made.
    """
    return address_of(_shifted())


def shifted_code() -> str:
    """Return the step ``shifted`` in LLVM's language."""
    at, lanes = Assembly(), processor().lanes(8)
    on = Registers(at, "double", lanes)
    others, shares, n, *two, target = arguments(at, "ptr", "ptr", "i64", "ptr", "ptr", "ptr")
    with at.counted("row", n) as row:
        source = at.get(f"load ptr, ptr {at.index(others, row.counter, 'ptr')}")
        given = at.index(shares, row.counter, "[2 x double]")
        weights = [_everywhere(at, at.index(given, str(place), "double"), on) for place in range(2)]
        made = at.index(target, row.counter, f"[{PITCH} x double]")
        with at.counted("column", str(TILE), step=lanes) as column:
            value = at.get(_load(at, source, column.counter, 0, lanes, "double"))
            for weight, start in zip(weights, two, strict=True):
                value = on.fused(weight, at.get(_load(at, start, column.counter, 0, lanes, "double")), value)
            _store(at, value, made, column.counter, 0, lanes, "double")
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", *on.declarations(), processor().attributes])


def columns(kind: str) -> int:
    """Return the step that runs a column program on a tile.

    It is given the program's function, where the rows are, how many, their headroom, where the results of a
    tile go, a scratch, and room for two more rows than there are. In a tile everything is finite: if the
    function says otherwise, a sum was too large, and it is run again on numbers divided by the headroom.
    """
    return address_of(_columns(kind))


def columns_code(kind: str) -> str:
    """Return the step ``columns`` in LLVM's language."""
    at, lanes = Assembly(), processor().lanes(BYTES[kind])
    on = Registers(at, kind, lanes)
    kernel, rows, n, headroom, out, scratch, spare = arguments(at, "ptr", "ptr", "i64", "i64", *["ptr"] * 3)

    def store(value: str, start: str, column: str) -> None:
        at.do(f"store {on.vector} {value}, ptr {at.index(start, column, kind)}, align {lanes * BYTES[kind]}")

    def reduce(rows: str, out: str) -> str:
        return at.get(f"call i32 {kernel}(ptr {rows}, i64 0, i64 0, i64 {TILE}, ptr {out}, ptr {scratch})")

    at.do(f"br i1 {at.get(f'icmp eq i32 {reduce(rows, out)}, 0')}, label %done, label %again")
    at.enter("again")
    factor = on.spread(at.get(f"uitofp i64 {headroom} to {kind}"))
    row_kind = f"[{PITCH} x {kind}]"
    made = at.index(spare, n, row_kind)
    table = at.index(made, "1", row_kind)
    with at.counted("row", n) as row:
        source = at.get(f"load ptr, ptr {at.index(rows, row.counter, 'ptr')}")
        target = at.index(spare, row.counter, row_kind)
        at.do(f"store ptr {target}, ptr {at.index(table, row.counter, 'ptr')}")
        with at.counted("column", str(TILE), step=lanes) as column:
            value = at.get(_load(at, source, column.counter, 0, lanes, kind))
            store(at.get(f"fdiv {on.vector} {value}, {factor}"), target, column.counter)
    reduce(table, made)
    most = float(np.finfo(f"f{BYTES[kind]}").max)
    with at.counted("result", str(TILE), step=lanes) as column:
        before, value = (at.get(_load(at, start, column.counter, 0, lanes, kind)) for start in (out, made))
        value = on.most(on.least(on.times(value, factor), on.splat(most)), on.splat(-most))
        lost = at.get(f"fcmp uno {on.vector} {on.sub(before, before)}, zeroinitializer")
        chosen = f"select <{lanes} x i1> {lost}, {on.vector} {value}, {on.vector} {before}"
        store(at.get(chosen), out, column.counter)
    at.label("done")
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", processor().attributes])


def _place(at: Assembly, start: str, column: str, vector: int, lanes: int, kind: str) -> str:
    return at.index(at.index(start, column, kind), str(vector * lanes), kind)


def _load(at: Assembly, start: str, column: str, vector: int, lanes: int, kind: str) -> str:
    place = _place(at, start, column, vector, lanes, kind)
    return f"load <{lanes} x {kind}>, ptr {place}, align {lanes * BYTES[kind]}"


def _store(at: Assembly, value: str, start: str, column: str, vector: int, lanes: int, kind: str) -> None:
    place = _place(at, start, column, vector, lanes, kind)
    if kind == "float":
        value = at.get(f"fptrunc <{lanes} x double> {value} to <{lanes} x float>")
    at.do(f"store <{lanes} x {kind}> {value}, ptr {place}, align {lanes * BYTES[kind]}")


def _everywhere(at: Assembly, address: str, on: Registers) -> str:
    """Return one number in every lane."""
    number = at.get(f"load double, ptr {address}")
    alone = at.get(f"insertelement {on.vector} poison, double {number}, i64 0")
    zeros = f"<{on.lanes} x i32> zeroinitializer"
    return at.get(f"shufflevector {on.vector} {alone}, {on.vector} poison, {zeros}")


_combine = step_compiler(combine_code)
_scaled = step_compiler(scaled_code)
_shifted = step_compiler(shifted_code)
_columns = step_compiler(columns_code)
