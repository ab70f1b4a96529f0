"""The mean of some ranks of columns that are too long for a network, as machine code: bisection on bits.

A tile of columns is brought into the cache. A rank is looked for between two values of the column: how many
values lie below the middle of the two tells on which side to go on, and the nearest value on that side is the
next bound. The middle is that of the bit patterns, which are ordered as the numbers are: so no column takes
more passes than a number has bits, whoever made it; most take a third of that.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS, Element
from varangian.kernels.compiled.processor import Processor, processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.programs import Middle, Program, Trimmed
from varangian.kernels.rows import LARGEST


class Span(NamedTuple):
    """The ranks from ``low`` to ``high``, both included."""

    low: int
    high: int


def span_of(program: Program, n: int) -> Span | None:
    """Return the ranks whose mean a program is, if it is no more than that.

    >>> span_of(Trimmed(2), 10)
    Span(low=2, high=7)
    """
    if not isinstance(program, Middle | Trimmed):
        return None
    read = [rank for rank, label in enumerate(program.labels(n)) if label is not None]
    return Span(read[0], read[-1])


def selection_columns(element: str) -> int:
    """Return how many columns the function does at a time."""
    chip = processor()
    return _vectors(chip) * chip.lanes(ELEMENTS[element].working_bytes)


def selection_code(element: str) -> str:
    """Return ``i32 kernel(rows, n, low, high, first, last, out, scratch)`` in LLVM's language.

    It writes the mean of the ranks ``low`` to ``high`` of the n values of every column from ``first`` to
    ``last``, whose number is a multiple of ``selection_columns``. It returns 1 as soon as it meets a value
    that is not finite (or too large, in float64): then what it wrote is worth nothing.
    """
    return _Writer(ELEMENTS[element], processor()).text()


def _vectors(chip: Processor) -> int:
    """Return how many vectors are searched side by side, each with a middle, a count, and two bounds."""
    return 4 if chip.registers >= 32 else 2


class _Writer:
    """Writes the function; what a search knows from pass to pass waits on the stack."""

    def __init__(self, element: Element, chip: Processor) -> None:
        self.element, self.chip = element, chip
        self.at = Assembly()
        self.lanes = chip.lanes(element.working_bytes)
        self.each = range(_vectors(chip))
        self.width = len(self.each) * self.lanes
        self.on = Registers(self.at, element.working, self.lanes)
        self.wide = Registers(self.at, "double", self.lanes, element.working)
        self.vector = self.on.vector
        self.bits = 8 * element.working_bytes
        self.whole = f"<{self.lanes} x i{self.bits}>"
        self.mask = f"<{self.lanes} x i1>"

    def text(self) -> str:
        """Return the whole module."""
        at = self.at
        at.enter("entry")
        for name in ("low", "high", "most", "middle", "first"):
            for j in self.each:
                at.do(f"%{name}{j} = alloca {self.vector}, align 64")
        ranks = {name: self._spread(f"%{name}") for name in ("low", "high")}
        alone = at.get("icmp eq i64 %low, %high")
        at.label("tile")
        at.do("%c = phi i64 [%first, %entry], [%cn, %tileend]")
        self._load()
        self._search("one", ranks["low"])
        at.do(f"br i1 {alone}, label %single, label %several")
        at.enter("single")
        self._store([self._get("low", j) for j in self.each])
        at.do("br label %tileend")
        at.enter("several")
        self._restart()
        self._search("other", ranks["high"])
        self._store(self._means(ranks))
        at.label("tileend")
        at.next_of("%c", self.width, "%last", "tile", "done")
        at.do("ret i32 0")
        at.enter("bad")
        at.do("ret i32 1")
        arguments = (
            "ptr %rows, i64 %n, i64 %low, i64 %high, i64 %first, i64 %last, ptr %out, ptr noalias %scratch"
        )
        return "\n".join(
            [
                f"define i32 @kernel({arguments}) #0 {{",
                *at.lines,
                "}",
                ASKS,
                *dict.fromkeys(self.on.declarations() + self.wide.declarations()),
                self.chip.attributes,
            ]
        )

    def _load(self) -> None:
        """Bring a tile into the scratch; bound every column by its least and its largest value."""
        at = self.at

        def row(place: str, carried: Sequence[str]) -> list[str]:
            vector = at.get(f"load ptr, ptr {at.index('%rows', place, 'ptr')}")
            start = at.index(vector, "%c", self.element.memory)
            later = at.index(start, str(self.width), self.element.memory)
            at.ask(later, 2)
            made = []
            for j in self.each:
                low, high, total = carried[3 * j : 3 * j + 3]
                value = self.element.load(
                    at, at.index(start, str(j * self.lanes), self.element.memory), self.lanes
                )
                at.do(f"store {self.vector} {value}, ptr {self._tile(place, j)}, align 64")
                added = self.on.size(value) if self.bits == 64 else value
                made += [self.on.least(low, value), self.on.most(high, value), self.on.add(total, added)]
            return made

        starts = [self.on.splat(number) for number in (math.inf, -math.inf, 0.0)]
        found = self._over_rows(
            "load", "tile", [(self.vector, start) for start in starts] * len(self.each), row
        )
        for j in self.each:
            self._set("low", j, found[3 * j])
            self._set("high", j, found[3 * j + 1])
            self._set("most", j, found[3 * j + 1])
        totals = found[2::3]
        if self.bits == 64:
            scale = self.on.splat(sys.float_info.max / LARGEST)
            totals = [at.get(f"fmul {self.vector} {total}, {scale}") for total in totals]
        # A sum over anything non-finite is non-finite, and such a sum less itself is NaN.
        lost = [at.get(f"fcmp uno {self.vector} {self.on.sub(x, x)}, zeroinitializer") for x in totals]
        at.do(f"br i1 {self._any(lost)}, label %bad, label %sound")
        at.enter("sound")
        for j in self.each:
            self._aim(j)
        at.do("br label %one")

    def _restart(self) -> None:
        """Look for a higher rank from the one that was found; the value after it is the first to be tried."""
        for j in self.each:
            found = self._get("low", j)
            self._set("first", j, found)
            self._set("high", j, self._get("most", j))
            self._set("middle", j, self._within(j, self._number(self._one_more(self._key(found)))))
        self.at.do("br label %other")

    def _search(self, name: str, rank: str) -> None:
        """Bring both bounds of every column to the value of a rank."""
        at = self.at
        at.enter(name)
        middles = [self._get("middle", j) for j in self.each]

        def row(place: str, carried: Sequence[str]) -> list[str]:
            made = []
            for j in self.each:
                count, above, below = carried[3 * j : 3 * j + 3]
                value = at.get(f"load {self.vector}, ptr {self._tile(place, j)}, align 64")
                less = at.get(f"fcmp olt {self.vector} {value}, {middles[j]}")
                made += [
                    self._chosen(less, self._one_more(count), count, self.whole),
                    self._chosen(less, above, self.on.least(above, value)),
                    self._chosen(less, self.on.most(below, value), below),
                ]
            return made

        starts = [
            (self.whole, "zeroinitializer"),
            (self.vector, self.on.splat(math.inf)),
            (self.vector, self.on.splat(-math.inf)),
        ]
        found = self._over_rows(f"{name}row", name, starts * len(self.each), row)
        next_rank = self._one_more(rank)
        apart = []
        for j in self.each:
            count, above, below = found[3 * j : 3 * j + 3]
            up = at.get(f"icmp sle {self.whole} {count}, {rank}")
            low = self._chosen(up, above, self._get("low", j))
            high = self._chosen(up, self._get("high", j), below)
            # The bound itself has this rank: nothing more to look for.
            is_above = at.get(f"icmp eq {self.whole} {count}, {rank}")
            is_below = at.get(f"icmp eq {self.whole} {count}, {next_rank}")
            self._set("low", j, self._chosen(is_below, below, low))
            self._set("high", j, self._chosen(is_above, above, high))
            apart.append(self._aim(j))
        at.do(f"br i1 {self._any(apart)}, label %{name}, label %{name}end")
        at.enter(f"{name}end")

    def _aim(self, j: int) -> str:
        """Take the middle of the bounds for the next pass; return where they are still apart."""
        low, high = self._get("low", j), self._get("high", j)
        one, other = self._key(low), self._key(high)
        either = self.at.get(f"or {self.whole} {one}, {other}")
        differ = self.at.get(f"xor {self.whole} {one}, {other}")
        half = self.at.get(f"ashr {self.whole} {differ}, splat (i{self.bits} 1)")
        self._set(
            "middle", j, self._within(j, self._number(self.at.get(f"sub {self.whole} {either}, {half}")))
        )
        return self.at.get(f"fcmp olt {self.vector} {low}, {high}")

    def _within(self, j: int, middle: str) -> str:
        """Return the middle if it is above the lower bound (zero is not above minus zero), or the upper."""
        high = self._get("high", j)
        above = self.at.get(f"fcmp olt {self.vector} {self._get('low', j)}, {middle}")
        inside = self.at.get(f"fcmp ole {self.vector} {middle}, {high}")
        both = self.at.get(f"and {self.mask} {above}, {inside}")
        return self._chosen(both, middle, high)

    def _means(self, ranks: dict[str, str]) -> list[str]:
        """Return the means of what lies between two ranks' values and of the copies of those that belong.

        Summed in float64, in the order of the rows.
        """
        at = self.at
        lows = [self._get("first", j) for j in self.each]
        highs = [self._get("low", j) for j in self.each]

        def row(place: str, carried: Sequence[str]) -> list[str]:
            made = []
            for j in self.each:
                total, upto, below = carried[3 * j : 3 * j + 3]
                value = at.get(f"load {self.vector}, ptr {self._tile(place, j)}, align 64")
                low = at.get(f"fcmp ole {self.vector} {value}, {lows[j]}")
                less = at.get(f"fcmp olt {self.vector} {value}, {highs[j]}")
                between = at.get(f"xor {self.mask} {low}, splat (i1 true)")
                between = at.get(f"and {self.mask} {between}, {less}")
                more = self.wide.add(total, self.wide.widened(value))
                made += [
                    self._chosen(between, more, total, self.wide.vector),
                    self._chosen(low, self._one_more(upto), upto, self.whole),
                    self._chosen(less, self._one_more(below), below, self.whole),
                ]
            return made

        starts = [(self.wide.vector, "zeroinitializer"), *[(self.whole, "zeroinitializer")] * 2]
        found = self._over_rows("sum", "otherend", starts * len(self.each), row)
        kept = self._one_more(at.get(f"sub {self.whole} {ranks['high']}, {ranks['low']}"))
        after = self._one_more(ranks["high"])
        means = []
        for j in self.each:
            total, upto, below = found[3 * j : 3 * j + 3]
            for end, copies in (
                (lows[j], at.get(f"sub {self.whole} {upto}, {ranks['low']}")),
                (highs[j], at.get(f"sub {self.whole} {after}, {below}")),
            ):
                share = at.get(f"fmul {self.wide.vector} {self._as_number(copies)}, {self.wide.widened(end)}")
                total = self.wide.add(total, share)
            mean = at.get(f"fdiv {self.wide.vector} {total}, {self._as_number(kept)}")
            alike = at.get(f"fcmp oeq {self.vector} {lows[j]}, {highs[j]}")
            means.append(self._chosen(alike, lows[j], self.wide.narrowed(mean)))
        return means

    def _over_rows(
        self,
        name: str,
        before: str,
        starts: Sequence[tuple[str, str]],
        body: Callable[[str, Sequence[str]], list[str]],
    ) -> list[str]:
        """Go over the rows with values that each row changes; return them as the last row left them."""
        at = self.at
        at.label(name)
        row = f"%{name}at"
        at.do(f"{row} = phi i64 [0, %{before}], [{row}n, %{name}]")
        gap = len(at.lines)
        carried = [f"%{name}v{place}" for place in range(len(starts))]
        made = body(row, carried)
        at.lines[gap:gap] = [
            f"  {value} = phi {kind} [{start}, %{before}], [{end}, %{name}]"
            for value, (kind, start), end in zip(carried, starts, made, strict=True)
        ]
        at.next_of(row, 1, "%n", name, f"{name}end")
        return made

    def _store(self, values: Sequence[str]) -> None:
        start = self.at.index("%out", "%c", self.element.memory)
        for j, value in zip(self.each, values, strict=True):
            address = self.at.index(start, str(j * self.lanes), self.element.memory)
            self.element.store(self.at, value, address, self.lanes)

    def _tile(self, row: str, j: int) -> str:
        """Return where in the scratch a vector of a row is."""
        place = self.at.get(f"mul i64 {row}, {self.width}")
        start = self.at.index("%scratch", place, self.element.working)
        return self.at.index(start, str(j * self.lanes), self.element.working)

    def _get(self, name: str, j: int) -> str:
        return self.at.get(f"load {self.vector}, ptr %{name}{j}, align 64")

    def _set(self, name: str, j: int, value: str) -> None:
        self.at.do(f"store {self.vector} {value}, ptr %{name}{j}, align 64")

    def _chosen(self, where: str, then: str, other: str, kind: str | None = None) -> str:
        kind = kind or self.vector
        return self.at.get(f"select {self.mask} {where}, {kind} {then}, {kind} {other}")

    def _any(self, masks: Sequence[str]) -> str:
        held = masks[0]
        for mask in masks[1:]:
            held = self.at.get(f"or {self.mask} {held}, {mask}")
        return self.at.get(f"call i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.mask} {held})")

    def _key(self, value: str) -> str:
        """Return whole numbers in the order of the numbers: those below zero count backwards."""
        return self._turned(self.at.get(f"bitcast {self.vector} {value} to {self.whole}"))

    def _number(self, key: str) -> str:
        return self.at.get(f"bitcast {self.whole} {self._turned(key)} to {self.vector}")

    def _turned(self, bits: str) -> str:
        signs = self.at.get(f"ashr {self.whole} {bits}, splat (i{self.bits} {self.bits - 1})")
        rest = self.at.get(f"and {self.whole} {signs}, splat (i{self.bits} {(1 << self.bits - 1) - 1})")
        return self.at.get(f"xor {self.whole} {bits}, {rest}")

    def _one_more(self, count: str) -> str:
        return self.at.get(f"add {self.whole} {count}, splat (i{self.bits} 1)")

    def _as_number(self, count: str) -> str:
        return self.at.get(f"sitofp {self.whole} {count} to {self.wide.vector}")

    def _spread(self, argument: str) -> str:
        """Return a vector of a whole number that was handed over."""
        number = argument if self.bits == 64 else self.at.get(f"trunc i64 {argument} to i{self.bits}")
        first = self.at.get(f"insertelement {self.whole} poison, i{self.bits} {number}, i64 0")
        zeros = f"<{self.lanes} x i32> zeroinitializer"
        return self.at.get(f"shufflevector {self.whole} {first}, {self.whole} poison, {zeros}")
