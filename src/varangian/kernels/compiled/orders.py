"""How numbers lie in registers while a network sorts them: as they are, or as whole numbers in their order.

A number's bits, all but the sign turned over where it is below zero, are a whole number in the same order.
Numbers of two bytes need not be widened for that, so that a register holds twice as many; and some processors
compare whole numbers with twice as many units.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

from varangian.kernels.compiled.assembly import Assembly
from varangian.kernels.compiled.elements import Element, rounded_to_bfloat16
from varangian.kernels.compiled.processor import Processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.rows import LARGEST

HALF = 2
"""Bytes of a number of which a register holds more than of those it is worked with in."""


class Order(ABC):
    """Loads numbers as what is sorted, ``<lanes x kind>``, sorts two of it, and gives numbers back.

    If it is ``total``, what is not finite is sorted to the ends, and not lost.
    """

    total = False

    def __init__(self, at: Assembly, element: Element, chip: Processor, kind: str, lanes: int) -> None:
        self.at, self.element = at, element
        self.kind, self.lanes = kind, lanes
        self.vector = f"<{lanes} x {kind}>"
        self.working = chip.lanes(element.working_bytes)
        self.parts = range(0, lanes, self.working)
        self.piece = self.working * element.bytes
        self.on = Registers(at, element.working, self.working)

    def begin(self) -> None:
        """Write what is needed once, before any column."""

    @abstractmethod
    def stored(self, address: str) -> str:
        """Return the numbers that lie there."""

    def key(self, stored: str) -> str:
        """Return what is sorted of such numbers."""
        return stored

    def bits(self, key: str) -> str:
        """Return what was stored of what is sorted."""
        return key

    @abstractmethod
    def least(self, x: str, y: str) -> str:
        """Return the lesser."""

    @abstractmethod
    def most(self, x: str, y: str) -> str:
        """Return the larger."""

    @abstractmethod
    def number(self, x: str, part: int) -> str:
        """Return the numbers from a part on, as many as are worked with at a time."""

    def give(self, results: Sequence[str], address: str, *, past: bool) -> None:
        """Write the results of all parts; past the caches only where pieces fit evenly."""
        for part, result in zip(self.parts, results, strict=True):
            place = self.at.index(address, str(part), self.element.memory)
            self.element.store(self.at, result, place, self.working, past=past)

    @abstractmethod
    def watched(self, stored: Sequence[str], seen: str) -> str:
        """Return what tells whether one of these, or what was seen before (zero at first), is not finite."""

    @abstractmethod
    def lost(self, seen: str) -> str:
        """Return whether one was not finite, as one bit."""

    def declarations(self) -> list[str]:
        """Return what LLVM must know of beforehand."""
        return self.on.declarations()


class Numbers(Order):
    """As they are, in working precision."""

    def __init__(self, at: Assembly, element: Element, chip: Processor) -> None:
        super().__init__(at, element, chip, element.working, chip.lanes(element.working_bytes))

    def stored(self, address: str) -> str:
        """Return the numbers that lie there, widened."""
        return self.element.load(self.at, address, self.lanes)

    def least(self, x: str, y: str) -> str:
        """Return the lesser; a NaN may be lost."""
        return self.on.least(x, y)

    def most(self, x: str, y: str) -> str:
        """Return the larger, likewise."""
        return self.on.most(x, y)

    def number(self, x: str, part: int) -> str:
        """Return the numbers: there is one part."""
        return x

    def watched(self, stored: Sequence[str], seen: str) -> str:
        """Let a value that is not finite (or too large) leave a NaN: such a sum less itself is one."""
        return sum_watched(self.on, stored, seen)

    def lost(self, seen: str) -> str:
        """Return whether there is a NaN."""
        return self.on.is_nan_anywhere(seen)


class Wholes(Order):
    """Whole numbers of as many bytes."""

    total = True

    def __init__(self, at: Assembly, element: Element, chip: Processor) -> None:
        self.size = 8 * element.bytes
        super().__init__(at, element, chip, f"i{self.size}", chip.lanes(element.bytes))

    def begin(self) -> None:
        """Hide what turns bits over from LLVM, which would rather shift twice where one step does both."""
        self.at.do(f"%hidden = alloca {self.vector}, align 64")
        self.at.do(
            f"store volatile {self.vector} {self._splat((1 << self.size - 1) - 1)}, ptr %hidden, align 64"
        )
        self.at.do(f"%but_sign = load volatile {self.vector}, ptr %hidden, align 64")

    def stored(self, address: str) -> str:
        """Return the bits that lie there."""
        return self.at.get(f"load {self.vector}, ptr {address}, align {self.element.bytes}")

    def key(self, stored: str) -> str:
        """Return the places of numbers in the order of all."""
        return self._turned(stored)

    def bits(self, key: str) -> str:
        """Return the bits of numbers at such places."""
        return self._turned(key)

    def least(self, x: str, y: str) -> str:
        """Return the lesser; a NaN is beyond the infinity of its sign."""
        return self._chosen("smin", x, y)

    def most(self, x: str, y: str) -> str:
        """Return the larger, likewise."""
        return self._chosen("smax", x, y)

    def number(self, x: str, part: int) -> str:
        """Return some of the numbers in working precision."""
        bits, count = self._turned(x), self.working
        if count < self.lanes:
            places = ", ".join(f"i32 {place}" for place in range(part, part + count))
            bits = self.at.get(
                f"shufflevector {self.vector} {bits}, {self.vector} poison, <{count} x i32> <{places}>"
            )
        stored = self.at.get(f"bitcast <{count} x {self.kind}> {bits} to <{count} x {self.element.memory}>")
        return self.element.widened(self.at, stored, count)

    def watched(self, stored: Sequence[str], seen: str) -> str:
        """Keep the largest size, twice, so that the sign is lost."""
        for bits in stored:
            seen = self._chosen("umax", seen, self.at.get(f"add {self.vector} {bits}, {bits}"))
        return seen

    def lost(self, seen: str) -> str:
        """Return whether one is as far from zero as infinity."""
        far = self.at.get(f"icmp uge {self.vector} {seen}, {self._splat(2 * self.element.infinity)}")
        return self.at.get(f"call i1 @llvm.vector.reduce.or.v{self.lanes}i1(<{self.lanes} x i1> {far})")

    def declarations(self) -> list[str]:
        """Return what LLVM must know of beforehand."""
        return [
            *super().declarations(),
            *(
                f"declare {self.vector} @llvm.{name}.v{self.lanes}{self.kind}({self.vector}, {self.vector})"
                for name in ("smin", "smax", "umax")
            ),
            f"declare i1 @llvm.vector.reduce.or.v{self.lanes}i1(<{self.lanes} x i1>)",
        ]

    def _chosen(self, name: str, x: str, y: str) -> str:
        call = f"call {self.vector} @llvm.{name}.v{self.lanes}{self.kind}"
        return self.at.get(f"{call}({self.vector} {x}, {self.vector} {y})")

    def _turned(self, bits: str) -> str:
        """Turn all but the sign over below zero: bits become places in the order, and places bits."""
        signs = self.at.get(f"ashr {self.vector} {bits}, {self._splat(self.size - 1)}")
        rest = self.at.get(f"and {self.vector} {signs}, %but_sign")
        return self.at.get(f"xor {self.vector} {bits}, {rest}")

    def _splat(self, number: int) -> str:
        return f"splat ({self.kind} {number})"


class Brains(Wholes):
    """Of two bytes, the upper half of a float32 each: every second column, and those between, make a pair."""

    def __init__(self, at: Assembly, element: Element, chip: Processor) -> None:
        super().__init__(at, element, chip)
        self.pairs = f"<{self.working} x i32>"
        self.piece = self.lanes * element.bytes

    def number(self, x: str, part: int) -> str:
        """Return the numbers of every second column, from the first or from the second on."""
        pairs = self.at.get(f"bitcast {self.vector} {self._turned(x)} to {self.pairs}")
        step = (
            f"and {self.pairs} {pairs}, splat (i32 -65536)"
            if part
            else f"shl {self.pairs} {pairs}, splat (i32 16)"
        )
        return self.at.get(f"bitcast {self.pairs} {self.at.get(step)} to {self.on.vector}")

    def give(self, results: Sequence[str], address: str, *, past: bool) -> None:
        """Write both, one beside the other."""
        at, pairs = self.at, self.pairs
        first, second = (rounded_to_bfloat16(at, x, self.working) for x in results)
        low = at.get(f"lshr {pairs} {first}, splat (i32 16)")
        high = at.get(f"and {pairs} {second}, splat (i32 -65536)")
        both = at.get(f"or {pairs} {low}, {high}")
        how = f"align {self.piece}, !nontemporal !0" if past else f"align {self.element.bytes}"
        at.do(f"store {pairs} {both}, ptr {address}, {how}")


class WholesOfFour(Wholes):
    """Of four bytes, where a sum of numbers, which other units make, tells at once whether all are finite."""

    def watched(self, stored: Sequence[str], seen: str) -> str:
        """Let a value that is not finite leave a NaN."""
        numbers = [
            self.at.get(f"bitcast {self.vector} {bits} to {self.on.vector}") for bits in (*stored, seen)
        ]
        total = sum_watched(self.on, numbers[:-1], numbers[-1])
        return self.at.get(f"bitcast {self.on.vector} {total} to {self.vector}")

    def lost(self, seen: str) -> str:
        """Return whether there is a NaN."""
        return self.on.is_nan_anywhere(self.at.get(f"bitcast {self.vector} {seen} to {self.on.vector}"))


def order_of(at: Assembly, element: Element, chip: Processor, n: int) -> Order:
    """Return what sorts n numbers fastest."""
    if element.bytes == HALF:
        return (Brains if element.name == "bfloat16" else Wholes)(at, element, chip)
    return (WholesOfFour if n <= chip.whole and element.name == "float32" else Numbers)(at, element, chip)


def sum_watched(on: Registers, values: Sequence[str], seen: str) -> str:
    """Return what was seen before and a sum less itself: NaN, if a value is not finite (or too large)."""
    wide = on.kind == "double"
    total = on.sum([on.size(value) for value in values] if wide else values)
    if wide:
        total = on.times(total, on.splat(sys.float_info.max / LARGEST))
    return on.add(seen, on.sub(total, total))
