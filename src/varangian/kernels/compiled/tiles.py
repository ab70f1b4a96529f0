"""Work on tiles of columns: rows are taken into a tile, steps work on it, what is made is given back.

A step is a function ``void kernel(ptr args, i64 start, i64 width)`` in LLVM's language, on the columns from
``start`` on. A tile always holds ``TILE`` columns, in working precision, one row after the other. Where fewer
are left, the others are zero: only what takes and what gives has to know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS, Element
from varangian.kernels.compiled.jit import Compiler
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.rows import LARGEST

TILE = 512
"""Columns in a tile: two kibibytes of float32 in a row, so that a hundred rows stay in the second cache."""

PITCH = TILE + 16
"""Columns from one row of a tile to the next: no power of two, or all rows would share a few cache lines."""

STEP = "define void @kernel(ptr %args, i64 %start, i64 %width) #0 {"
"""How the function of a step begins."""

BYTES = {"float": 4, "double": 8}
"""What numbers of the working kinds take."""


class Step(NamedTuple):
    """A function, what it works on (numbers and addresses), and what must stay alive meanwhile."""

    code: int
    arguments: NDArray[np.uint64]
    kept: tuple[int | NDArray[Any], ...]

    @classmethod
    def of(cls, code: int, *arguments: int | NDArray[Any]) -> Step:
        """Return a step that is given numbers and the addresses of arrays."""
        given = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
        return cls(code, np.array(given, dtype=np.uint64), arguments)


def run(steps: Sequence[Step], first: int, last: int, columns: int = TILE) -> None:
    """Take all steps over the columns from ``first`` to ``last``, so many at a time; the GIL is released."""
    table = np.array([(step.code, step.arguments.ctypes.data) for step in steps], dtype=np.uint64)
    _driver()(table.ctypes.data, len(steps), first, last, columns)


def arguments(at: Assembly, *kinds: str) -> list[str]:
    """Begin a step: return what it is given, in order."""
    at.enter("entry")
    return [
        at.get(f"load {kind}, ptr {at.index('%args', str(place), 'i64')}") for place, kind in enumerate(kinds)
    ]


def take(element: str, kind: str, *, sanitise: bool, asks: bool = True) -> int:
    """Return the step that takes rows into a tile.

    It is given where the rows are, how many, the tile, and where to count what is not finite in each. A row
    that is nowhere is zero. It asks memory for the next tile, unless another step does.
    """
    return address_of(_take(element, kind, sanitise, asks))


def give(element: str, kind: str) -> int:
    """Return the step that gives rows of a tile back; it is given where they go, where they are, how many."""
    return address_of(_give(element, kind))


def step_compiler(text: Callable[..., str]) -> Compiler:
    """Return what makes steps of one sort."""
    return Compiler(text, None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def address_of(function: Any) -> int:
    """Return where a compiled function begins."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def driver_code() -> str:
    """Return ``void kernel(ptr steps, i64 count, i64 first, i64 last, i64 columns)`` in LLVM's language."""
    at = Assembly()
    at.enter("entry")
    with at.counted("start", "%last", start="%first", step="%columns") as tile:
        left = at.get(f"sub i64 %last, {tile.counter}")
        width = at.get(f"call i64 @llvm.umin.i64(i64 {left}, i64 %columns)")
        with at.counted("step", "%count") as step:
            code = at.index("%steps", step.counter, "{ ptr, ptr }")
            arguments = at.index(code, "1", "ptr")
            function, given = at.get(f"load ptr, ptr {code}"), at.get(f"load ptr, ptr {arguments}")
            at.do(f"call void {function}(ptr {given}, i64 {tile.counter}, i64 {width})")
    at.do("ret void")
    head = "define void @kernel(ptr %steps, i64 %count, i64 %first, i64 %last, i64 %columns) {"
    return "\n".join([head, *at.lines, "}", "declare i64 @llvm.umin.i64(i64, i64)"])


def take_code(element: str, kind: str, sanitise: bool, asks: bool) -> str:
    """Return the step ``take`` in LLVM's language."""
    at, lanes = Assembly(), processor().lanes(BYTES[kind])
    rows, n, tile, counts = arguments(at, "ptr", "i64", "ptr", "ptr")
    whole = at.get(f"and i64 %width, {-lanes}")
    part = at.get(f"icmp ult i64 %width, {TILE}")
    with at.counted("row", n) as row:
        source = at.get(f"load ptr, ptr {at.index(rows, row.counter, 'ptr')}")
        target = at.index(tile, row.counter, f"[{PITCH} x {kind}]")
        absent = at.get(f"icmp eq ptr {source}, null")
        unfilled = at.get(f"or i1 {absent}, {part}")
        with at.counted("zero", at.get(f"select i1 {unfilled}, i64 {TILE}, i64 0"), step=lanes) as zero:
            place = at.index(target, zero.counter, kind)
            at.do(f"store <{lanes} x {kind}> zeroinitializer, ptr {place}, align 64")
        stop = at.get(f"select i1 {absent}, i64 0, i64 {whole}")
        last = at.get(f"select i1 {absent}, i64 0, i64 %width")
        begin = at.index(source, "%start", ELEMENTS[element].memory)
        loader = _Loader(at, ELEMENTS[element], kind, sanitise)
        wild = loader.plain(begin, target, stop, asks=asks)
        again = at.get(f"select i1 {wild}, i64 {stop}, i64 0")
        many = loader.careful("many", begin, target, "0", again, lanes)
        few = loader.careful("few", begin, target, stop, last, 1)
        counter = at.index(counts, row.counter, "i64")
        found = at.get(f"add i64 {at.get(f'load i64, ptr {counter}')}, {at.get(f'add i64 {many}, {few}')}")
        at.do(f"store i64 {found}, ptr {counter}")
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", *dict.fromkeys(loader.declarations), processor().attributes])


class _Loader:
    """Writes loops that load numbers, look at them, and store them in a tile."""

    def __init__(self, at: Assembly, element: Element, kind: str, sanitise: bool) -> None:
        self.at, self.element, self.kind, self.sanitise = at, element, kind, sanitise
        self.declarations = [ASKS]

    def plain(self, begin: str, target: str, stop: str, *, asks: bool) -> str:
        """Store the columns as if all were finite; return whether one was not."""
        at, lanes = self.at, processor().lanes(BYTES[self.kind])
        on = self._registers(lanes)
        with at.counted("plain", stop, step=lanes, carried=[(on.vector, "zeroinitializer")]) as loop:
            place = at.index(begin, loop.counter, self.element.memory)
            if asks:
                ahead = at.index(place, str(TILE), self.element.memory)
                at.ask(ahead, 2)
            value = on.widened(self.element.load(at, place, lanes))
            loop.values[0] = on.watched(value, loop.values[0])
            self._store(on, value, target, loop.counter)
        return on.is_nan_anywhere(loop.values[0])

    def careful(self, name: str, begin: str, target: str, start: str, stop: str, lanes: int) -> str:
        """Go over the columns so many at a time; return how many numbers were not finite."""
        at, on, counter = self.at, self._registers(lanes), f"<{lanes} x i32>"
        self.declarations.append(f"declare i32 @llvm.vector.reduce.add.v{lanes}i32({counter})")
        with at.counted(name, stop, start=start, step=lanes, carried=[(counter, "zeroinitializer")]) as loop:
            place = at.index(begin, loop.counter, self.element.memory)
            value = on.widened(self.element.load(at, place, lanes))
            wild = at.get(f"fcmp uno {on.vector} {at.get(f'fsub {on.vector} {value}, {value}')}, {value}")
            if self.sanitise:
                nothing = f"{on.vector} zeroinitializer"
                value = at.get(f"select <{lanes} x i1> {wild}, {nothing}, {on.vector} {value}")
            more = at.get(f"zext <{lanes} x i1> {wild} to {counter}")
            loop.values[0] = at.get(f"add {counter} {loop.values[0]}, {more}")
            self._store(on, value, target, loop.counter)
        total = at.get(f"call i32 @llvm.vector.reduce.add.v{lanes}i32({counter} {loop.values[0]})")
        return at.get(f"zext i32 {total} to i64")

    def _registers(self, lanes: int) -> Registers:
        on = Registers(self.at, self.kind, lanes, self.element.working)
        self.declarations += on.declarations()
        return on

    def _store(self, on: Registers, value: str, target: str, column: str) -> None:
        """Store numbers in the tile, in float64 none so large that its square is infinite."""
        if self.sanitise and self.kind == "double":
            value = on.most(on.least(value, on.splat(LARGEST)), on.splat(-LARGEST))
        self.at.do(f"store {on.vector} {value}, ptr {self.at.index(target, column, self.kind)}")


def give_code(element: str, kind: str) -> str:
    """Return the step ``give`` in LLVM's language."""
    at, lanes, into = Assembly(), processor().lanes(8), ELEMENTS[element]
    targets, rows, n = arguments(at, "ptr", "ptr", "i64")
    whole = at.get(f"and i64 %width, {-lanes}")
    with at.counted("row", n) as row:
        target = at.get(f"load ptr, ptr {at.index(targets, row.counter, 'ptr')}")
        source = at.get(f"load ptr, ptr {at.index(rows, row.counter, 'ptr')}")
        begin = at.index(target, "%start", into.memory)
        for name, start, stop, count in (("many", "0", whole, lanes), ("few", whole, "%width", 1)):
            on = Registers(at, kind, count, into.working)
            with at.counted(name, stop, start=start, step=count) as loop:
                place = at.index(source, loop.counter, kind)
                value = on.narrowed(at.get(f"load {on.vector}, ptr {place}, align {BYTES[kind]}"))
                into.store(at, value, at.index(begin, loop.counter, into.memory), count)
    at.do("ret void")
    return "\n".join([STEP, *at.lines, "}", processor().attributes])


_take = step_compiler(take_code)
_give = step_compiler(give_code)


@cache
def _driver() -> Any:
    return Compiler(driver_code, None, ctypes.c_void_p, *[ctypes.c_int64] * 4)()
