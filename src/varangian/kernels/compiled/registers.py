"""Arithmetic on the registers of a processor: a value is the name of a vector of one number per column."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import Assembly, splat
from varangian.kernels.programs import Arithmetic


class Registers(Arithmetic[str]):
    """Vectors of ``lanes`` numbers of one kind; what is widened comes as ``narrow``.

    Where ``one`` is set, a vector of ones that LLVM does not see through, every other sum or difference is
    made by the units that multiply: x times 1 plus y is rounded once, as x + y is. Where ``doubted`` is set,
    what must be finite is left there, for somebody else to watch.
    """

    def __init__(self, at: Assembly, kind: str, lanes: int, narrow: str | None = None) -> None:
        self.at, self.kind, self.lanes = at, kind, lanes
        self.one: str | None = None
        self.doubted: list[str] | None = None
        self._sums = 0
        self.vector = f"<{lanes} x {kind}>"
        self.narrow = narrow or kind

    def widened(self, x: str) -> str:
        """Return x in this kind."""
        if self.narrow == self.kind:
            return x
        return self.at.get(f"fpext <{self.lanes} x {self.narrow}> {x} to {self.vector}")

    def add(self, x: str, y: str) -> str:
        """Return x + y."""
        return self._times_one(x, y) or self.at.get(f"fadd {self.vector} {x}, {y}")

    def sub(self, x: str, y: str) -> str:
        """Return x - y."""
        return self._times_one(x, y, "-") or self.at.get(f"fsub {self.vector} {x}, {y}")

    def if_finite(self, x: str, other: str) -> str:
        """Return x, or NaN where the other is not finite; if that is watched, anything there."""
        if self.doubted is None:
            return super().if_finite(x, other)
        self.doubted.append(other)
        return x

    def times(self, x: str, y: str) -> str:
        """Return x y."""
        return self.at.get(f"fmul {self.vector} {x}, {y}")

    def divided(self, x: str, by: int) -> str:
        """Return x over a number."""
        return self.at.get(f"fdiv {self.vector} {x}, {self.splat(by)}")

    def size(self, x: str) -> str:
        """Return |x|."""
        return self.at.get(f"call {self.vector} @llvm.fabs.v{self.lanes}{self._letters}({self.vector} {x})")

    def sign(self, x: str) -> str:
        """Return 1, -1, or 0."""
        nothing = self.splat(0.0)
        below = self.if_less(x, nothing, self.splat(-1.0), nothing)
        return self.if_less(nothing, x, self.splat(1.0), below)

    def if_less(self, x: str, y: str, then: str, other: str) -> str:
        """Return ``then`` where x < y, ``other`` elsewhere."""
        held = self.at.get(f"fcmp olt {self.vector} {x}, {y}")
        mask = f"<{self.lanes} x i1> {held}"
        return self.at.get(f"select {mask}, {self.vector} {then}, {self.vector} {other}")

    def watched(self, x: str, before: str) -> str:
        """Return what was watched before, NaN wherever x is not finite."""
        return self.fused(x, self.splat(0.0), before)

    def is_nan_anywhere(self, x: str) -> str:
        """Return whether a number is NaN, as one bit."""
        lost = self.at.get(f"fcmp uno {self.vector} {x}, zeroinitializer")
        return self.at.get(f"call i1 @llvm.vector.reduce.or.v{self.lanes}i1(<{self.lanes} x i1> {lost})")

    def fused(self, x: str, y: str, z: str) -> str:
        """Return x y + z, rounded once where the processor can."""
        return self._called("fmuladd", x, y, z)

    def least(self, x: str, y: str) -> str:
        """Return the lesser, by one instruction: a NaN may be lost."""
        return self._chosen("olt", x, y)

    def most(self, x: str, y: str) -> str:
        """Return the larger, likewise."""
        return self._chosen("ogt", x, y)

    def _times_one(self, x: str, y: str, sign: str = "") -> str:
        """Return x times one plus or minus y, every other time."""
        self._sums += 1
        if not self.one or self._sums % 2 == 0:
            return ""
        return self._called("fma", x, self.one, self.at.get(f"fneg {self.vector} {y}") if sign else y)

    def _called(self, name: str, *values: str) -> str:
        given = ", ".join(f"{self.vector} {value}" for value in values)
        return self.at.get(f"call {self.vector} @llvm.{name}.v{self.lanes}{self._letters}({given})")

    def _chosen(self, order: str, x: str, y: str) -> str:
        held = self.at.get(f"fcmp nnan nsz {order} {self.vector} {x}, {y}")
        mask = f"<{self.lanes} x i1> {held}"
        return self.at.get(f"select nnan nsz {mask}, {self.vector} {x}, {self.vector} {y}")

    def splat(self, number: float) -> str:
        """Return a vector of one number, known beforehand."""
        return splat(number, self.kind, self.lanes)

    def spread(self, scalar: str) -> str:
        """Return a vector of one number, known in a register."""
        one = self.at.get(f"insertelement {self.vector} poison, {self.kind} {scalar}, i64 0")
        every = f"<{self.lanes} x i32> zeroinitializer"
        return self.at.get(f"shufflevector {self.vector} {one}, {self.vector} poison, {every}")

    def narrowed(self, x: str) -> str:
        """Return x as what is widened comes."""
        if self.narrow == self.kind:
            return x
        return self.at.get(f"fptrunc {self.vector} {x} to <{self.lanes} x {self.narrow}>")

    def declarations(self) -> list[str]:
        """Return what LLVM must know of beforehand."""
        vector, place = self.vector, f"v{self.lanes}{self._letters}"
        return [
            f"declare {vector} @llvm.fabs.{place}({vector})",
            f"declare {vector} @llvm.fma.{place}({vector}, {vector}, {vector})",
            f"declare {vector} @llvm.fmuladd.{place}({vector}, {vector}, {vector})",
            f"declare i1 @llvm.vector.reduce.or.v{self.lanes}i1(<{self.lanes} x i1>)",
        ]

    @property
    def _letters(self) -> str:
        return "f64" if self.kind == "double" else "f32"
