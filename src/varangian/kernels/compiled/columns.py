"""Column programs as machine code: load a column of n, sort what must be sorted, compute, store.

A tile is as many columns as a register holds. Up to about as many rows as there are registers all of it stays
in them; above, what is needed last waits in a scratch that the first cache holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS, PAST, Element
from varangian.kernels.compiled.orders import order_of
from varangian.kernels.compiled.processor import Processor, processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.compiled.turns import turns
from varangian.kernels.networks import selection_network
from varangian.kernels.programs import Lazily, Program

SPARE = 4
"""Registers that are left to what is loaded, compared with, and counted."""
TOGETHER = 8
"""Vectors that are watched together: no more of them wait for it at a time."""
AHEAD, AHEAD_OF_MANY = 256, 512
"""Bytes ahead that memory is asked for, row by row: the first cache holds what has been asked for of many.

Where it is the second that is asked, more rows than stay in registers are asked for further ahead.
"""


def tile_columns(n: int, element: str) -> int:
    """Return how many columns the function does at a time."""
    return order_of(Assembly(), ELEMENTS[element], processor(), n).lanes


def column_code(program: Program, n: int, element: str) -> str:
    """Return ``i32 kernel(rows, past, first, last, out, scratch)`` in LLVM's language.

    It does columns ``first`` to ``last``, whose number is a multiple of ``tile_columns``, and returns 1 if it
    met or made a value that is not finite (or too large, in float64): then what it wrote is to be made again.
    Where ``past`` is not 0, what is written may go past the caches.
    """
    return _Writer(_Shape(program, n, ELEMENTS[element], processor())).text()


class _Shape:
    """How a program is laid out on a processor."""

    def __init__(self, program: Program, n: int, element: Element, chip: Processor) -> None:
        self.program, self.n, self.element, self.chip = program, n, element, chip
        labels = program.labels(n)
        read = {rank for rank, label in enumerate(labels) if label is not None}
        held = chip.registers - SPARE
        self.turns = turns(selection_network(labels), held, read)
        self.ahead = chip.ahead(AHEAD, AHEAD if n <= held else AHEAD_OF_MANY)
        ends = {0, n - 1}
        self.ends = (
            ends if all(labels[end] is not None and labels.count(labels[end]) == 1 for end in ends) else set()
        )


class _Writer:
    """Writes the function."""

    def __init__(self, shape: _Shape) -> None:
        self.shape = shape
        self.at = Assembly()
        self.order = order_of(self.at, shape.element, shape.chip, shape.n)
        self.lanes, self.kind, self.vector = self.order.lanes, self.order.kind, self.order.vector
        self.sorted_out = self.order.total and bool(shape.ends)
        # Of its own: only here are sums made by the units that multiply.
        self.on = Registers(self.at, shape.element.working, self.order.working)
        self.fresh: list[str] = []
        self.stored: set[int] = set()

    def text(self) -> str:
        """Return the whole module."""
        at, shape = self.at, self.shape
        at.enter("entry")
        at.do(f"%seen = alloca {self.vector}, align 64")
        at.do(f"store {self.vector} zeroinitializer, ptr %seen, align 64")
        at.do(f"%made = alloca {self.on.vector}, align 64")
        at.do(f"store {self.on.vector} zeroinitializer, ptr %made, align 64")
        self.order.begin()
        if shape.n <= shape.chip.whole:
            self._hide_one()
        self._look_where_to()
        before = at.stretch
        at.label("tile")
        at.do(f"%c = phi i64 [%first, %{before}], [%cn, %tileend]")
        self._tile()
        at.next_of("%c", self.lanes, "%last", "tile", "done")
        seen = at.get(f"load {self.vector}, ptr %seen, align 64")
        at.do("fence seq_cst")  # what went past the caches is there for every thread
        made = at.get(f"load {self.on.vector}, ptr %made, align 64")
        lost = at.get(f"or i1 {self.order.lost(seen)}, {self.on.is_nan_anywhere(made)}")
        at.do(f"ret i32 {at.get(f'zext i1 {lost} to i32')}")
        return "\n".join(
            [
                "define i32 @kernel("
                "ptr %rows, i64 %past, i64 %first, i64 %last, ptr %out, ptr noalias %scratch) #0 {",
                *at.lines,
                "}",
                ASKS,
                *dict.fromkeys(self.order.declarations()),
                shape.chip.attributes,
                PAST,
            ]
        )

    def _tile(self) -> None:
        """Do a tile; meanwhile, ask memory for a later one."""
        at, n, turns = self.at, self.shape.n, self.shape.turns
        values = Lazily(self._held)
        for turn, ((i, j, low, high), leaving) in enumerate(turns):
            for row in range(turn * n // len(turns), (turn + 1) * n // len(turns)):
                self._ask(row)
            one, other = values[i], values[j]
            if low:
                values[i] = self.order.least(one, other)
            if high:
                values[j] = self.order.most(one, other)
            for wire in leaving:
                at.do(f"store {self.vector} {values.pop(wire)}, ptr {self._scratch(wire)}, align 64")
                self.stored.add(wire)
        for wire in set(range(n)) - self.stored:
            if not turns:
                self._ask(wire)
            values[wire]
        if self.sorted_out:  # what is not finite has come to an end
            self.fresh = [self.order.bits(values[rank]) for rank in self.shape.ends]
        self._watch()
        results = self._results(values)
        at.do("br i1 %whole, label %away, label %kept")
        for name in ("away", "kept"):
            at.enter(name)
            place = at.index("%out", "%c", self.shape.element.memory)
            self.order.give(results, place, past=name == "away")
            at.do("br label %tileend")
        at.enter("tileend")

    def _hide_one(self) -> None:
        """Let every other sum be made by the units that multiply; LLVM would add, if it saw the one."""
        at, vector = self.at, self.on.vector
        at.do(f"%hidden.one = alloca {vector}, align 64")
        at.do(f"store volatile {vector} {self.on.splat(1.0)}, ptr %hidden.one, align 64")
        self.on.one = at.get(f"load volatile {vector}, ptr %hidden.one, align 64")

    def _look_where_to(self) -> None:
        """Find out whether results shall go past the caches, and fill whole pieces of memory at a time."""
        at = self.at
        start = at.get(f"ptrtoint ptr {at.index('%out', '%first', self.shape.element.memory)} to i64")
        odd = at.get(f"and i64 {start}, {self.order.piece - 1}")
        even = at.get(f"icmp eq i64 {odd}, 0")
        at.do(f"%whole = and i1 {even}, {at.get('icmp ne i64 %past, 0')}")

    def _held(self, wire: int) -> str:
        """Return what a wire holds: what was kept of it, or what is in its row."""
        if wire in self.stored:
            return self.at.get(f"load {self.vector}, ptr {self._scratch(wire)}, align 64")
        stored = self.order.stored(self._address(wire))
        if not self.sorted_out:
            self.fresh.append(stored)
            if len(self.fresh) == TOGETHER:
                self._watch()
        return self.order.key(stored)

    def _scratch(self, wire: int) -> str:
        return self.at.index("%scratch", str(wire * self.lanes), self.kind)

    def _ask(self, row: int) -> None:
        """Ask memory for what comes later."""
        place = self.at.index(self._address(row), str(self.shape.ahead), "i8")
        self.at.ask(place, self.shape.chip.asked)

    def _address(self, row: int) -> str:
        start = self.at.get(f"load ptr, ptr {self.at.index('%rows', str(row), 'ptr')}")
        return self.at.index(start, "%c", self.shape.element.memory)

    def _watch(self) -> None:
        """Let a value that is not finite leave its mark."""
        if self.fresh:
            seen = self.at.get(f"load {self.vector}, ptr %seen, align 64")
            seen = self.order.watched(self.fresh, seen)
            self.at.do(f"store {self.vector} {seen}, ptr %seen, align 64")
            self.fresh = []

    def _results(self, values: Mapping[int, str]) -> list[str]:
        """Return what a vector of columns comes to, part by part; what is not finite leaves its mark."""
        n, on = self.shape.n, self.on
        on.doubted = doubted = list[str]()
        results = [
            self.shape.program.value(Lazily(partial(self._number, values, part)), n, on)
            for part in self.order.parts
        ]
        if not self.shape.element.ample:
            made = self.at.get(f"load {on.vector}, ptr %made, align 64")
            for number in [*results, *doubted]:
                made = on.watched(number, made)
            self.at.do(f"store {on.vector} {made}, ptr %made, align 64")
        return results

    def _number(self, values: Mapping[int, str], part: int, wire: int) -> str:
        return self.order.number(values[wire], part)
