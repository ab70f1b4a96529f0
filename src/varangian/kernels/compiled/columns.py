"""Column programs as machine code: load a column of n, sort what must be sorted, compute, store.

Columns are done as many at a time as a register holds. Up to about as many rows as there are registers the
whole column stays in them; above, the network runs in blocks over a tile of columns that the first cache
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.blocks import Block, partition
from varangian.kernels.compiled.elements import ELEMENTS, PAST, Element
from varangian.kernels.compiled.orders import order_of
from varangian.kernels.compiled.processor import Processor, processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.networks import selection_network
from varangian.kernels.programs import Lazily, Program

SPARE = 4
"""Registers that a block leaves to what is loaded, compared with, and counted."""
BLOCK = 24
"""Registers of a block at most: with more, there is more to sort out than loads and stores that are saved."""
SMALL, VECTORS_SMALL, VECTORS_LARGE = 64, 2, 4
"""Up to so many rows are few, and a tile has so many vectors; above, so many."""
AHEAD, AHEAD_OF_TILES = 256, 512
"""Bytes ahead that memory is asked for, row by row: the first cache holds what has been asked for of many.

Where it is the second that is asked, it holds two large tiles.
"""


def tile_columns(n: int, element: str) -> int:
    """Return how many columns the function does at a time."""
    chip = processor()
    vectors = 1 if _straight(n, chip) else VECTORS_SMALL if n <= SMALL else VECTORS_LARGE
    return vectors * order_of(Assembly(), ELEMENTS[element], chip, n).lanes


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
        network = selection_network(program.labels(n))
        self.straight = _straight(n, chip)
        registers = n if self.straight else min(chip.registers - SPARE, BLOCK)
        self.blocks = partition(network, n, registers)
        self.width = tile_columns(n, element.name)
        labels = program.labels(n)
        self.read = {rank for rank, label in enumerate(labels) if label is not None}
        ends = {0, n - 1}
        self.ends = (
            ends if all(labels[end] is not None and labels.count(labels[end]) == 1 for end in ends) else set()
        )


def _straight(n: int, chip: Processor) -> bool:
    """Tell whether a whole column fits into the registers."""
    return n <= chip.registers - SPARE


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
        self.starts: list[str] = []
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
        if shape.straight:
            self.starts = [self._start(row) for row in range(shape.n)]
        if shape.straight:
            self._look_where_to()
        before = at.stretch
        at.label("tile")
        at.do(f"%c = phi i64 [%first, %{before}], [%cn, %tileend]")
        if shape.straight:
            self._column()
        else:
            self._tile()
        at.next_of("%c", shape.width, "%last", "tile", "done")
        seen = at.get(f"load {self.vector}, ptr %seen, align 64")
        if shape.straight:
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

    def _column(self) -> None:
        """Do as many columns as a register holds, without a look at the cache."""
        at, shape, (block,) = self.at, self.shape, self.shape.blocks
        values = {row: self._loaded(row, "%c", asks=True) for row in range(shape.n)}
        self._watch()
        self._network(block, values)
        self._watch_ends(values)
        results = self._results(values)
        at.do("br i1 %whole, label %away, label %kept")
        for name in ("away", "kept"):
            at.enter(name)
            self._store(results, "%c", past=name == "away")
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

    def _tile(self) -> None:
        """Do a tile of columns block by block; what is between blocks waits in the scratch."""
        at, shape = self.at, self.shape
        blocks = shape.blocks
        last = {wire: place for place, block in enumerate(blocks) for wire in block.wires}
        before = "tile"
        for place, block in enumerate(blocks):
            with_k = self._loop(f"block{place}", before)
            before = f"block{place}end"
            for row in range(place * shape.n // len(blocks), (place + 1) * shape.n // len(blocks)):
                self._ask(row, with_k)
            values = {wire: self._wire(wire, with_k, f"%k{place}") for wire in block.wires}
            self._watch()
            self._network(block, values)
            for wire in block.wires:
                if last[wire] > place or wire in shape.read:
                    target = self._scratch(wire, f"%k{place}")
                    at.do(f"store {self.vector} {values[wire]}, ptr {target}, align 64")
            self.stored |= set(block.wires)
            at.next_of(f"%k{place}", self.lanes, str(shape.width), f"block{place}", before)
        place = len(blocks)
        column = self._loop(f"block{place}", before)
        values = Lazily(lambda wire: self._wire(wire, column, f"%k{place}"))
        for wire in set(range(shape.n)) - self.stored:
            values[wire]
        self._watch()
        self._watch_ends(values)
        self._store(self._results(values), column)
        at.next_of(f"%k{place}", self.lanes, str(shape.width), f"block{place}", f"block{place}end")
        at.label("tileend")

    def _loop(self, name: str, before: str) -> str:
        """Begin to go over the vectors of a tile; return the column."""
        at, counter = self.at, f"%k{name.removeprefix('block')}"
        at.label(name)
        at.do(f"{counter} = phi i64 [0, %{before}], [{counter}n, %{name}]")
        return at.get(f"add i64 %c, {counter}")

    def _wire(self, wire: int, column: str, offset: str) -> str:
        if wire in self.stored:
            return self.at.get(f"load {self.vector}, ptr {self._scratch(wire, offset)}, align 64")
        return self._loaded(wire, column)

    def _scratch(self, wire: int, offset: str) -> str:
        start = self.at.index("%scratch", str(wire * self.shape.width), self.kind)
        return self.at.index(start, offset, self.kind)

    def _loaded(self, row: int, column: str, *, asks: bool = False) -> str:
        if asks:
            self._ask(row, column)
        self.fresh.append(self.order.stored(self._address(row, column)))
        return self.order.key(self.fresh[-1])

    def _ask(self, row: int, column: str) -> None:
        """Ask memory for what comes later."""
        chip = self.shape.chip
        ahead = chip.ahead(AHEAD, AHEAD if self.shape.straight else AHEAD_OF_TILES)
        self.at.ask(self.at.index(self._address(row, column), str(ahead), "i8"), chip.asked)

    def _address(self, row: int, column: str) -> str:
        """Return where columns of a row are; many rows' starts are looked up anew, few stay in registers."""
        start = self.starts[row] if self.starts else self._start(row)
        return self.at.index(start, column, self.shape.element.memory)

    def _start(self, row: int) -> str:
        return self.at.get(f"load ptr, ptr {self.at.index('%rows', str(row), 'ptr')}")

    def _watch(self) -> None:
        """Let a value that is not finite leave its mark, if that is not seen better once they are sorted."""
        if self.fresh and not self.sorted_out:
            self._mark(self.fresh)
        self.fresh = []

    def _watch_ends(self, values: Mapping[int, str]) -> None:
        """Let it leave its mark where it has been sorted to an end."""
        if self.sorted_out:
            self._mark([self.order.bits(values[rank]) for rank in self.shape.ends])

    def _mark(self, stored: list[str]) -> None:
        seen = self.at.get(f"load {self.vector}, ptr %seen, align 64")
        self.at.do(f"store {self.vector} {self.order.watched(stored, seen)}, ptr %seen, align 64")

    def _network(self, block: Block, values: dict[int, str]) -> None:
        for i, j, low, high in block.comparators:
            one, other = values[i], values[j]
            if low:
                values[i] = self.order.least(one, other)
            if high:
                values[j] = self.order.most(one, other)

    def _results(self, values: Mapping[int, str]) -> list[str]:
        """Return what a vector of columns comes to, part by part; what is not finite leaves its mark."""
        n, on = self.shape.n, self.on
        results = [
            self.shape.program.value(Lazily(partial(self._number, values, part)), n, on)
            for part in self.order.parts
        ]
        made = self.at.get(f"load {on.vector}, ptr %made, align 64")
        for result in results:
            made = on.watched(result, made)
        self.at.do(f"store {on.vector} {made}, ptr %made, align 64")
        return results

    def _number(self, values: Mapping[int, str], part: int, wire: int) -> str:
        return self.order.number(values[wire], part)

    def _store(self, results: list[str], column: str, *, past: bool = False) -> None:
        self.order.give(results, self.at.index("%out", column, self.shape.element.memory), past=past)
