"""How numbers of each dtype are loaded into registers, and stored."""

from __future__ import annotations

from dataclasses import dataclass

from varangian.kernels.compiled.assembly import Assembly

PAST = "!0 = !{i32 1}"
"""What a module needs that stores past the caches."""


@dataclass(frozen=True)
class Element:
    """A dtype in memory, what it is worked with in registers, and the bits of infinity."""

    name: str
    memory: str
    bytes: int
    working: str
    infinity: int

    @property
    def working_bytes(self) -> int:
        """Return how many bytes a working number takes."""
        return 8 if self.working == "double" else 4

    @property
    def ample(self) -> bool:
        """Tell whether working numbers hold every sum of a few that are stored."""
        return self.name == "float16"

    def load(self, at: Assembly, address: str, lanes: int) -> str:
        """Return ``lanes`` numbers in working precision."""
        stored = at.get(f"load <{lanes} x {self.memory}>, ptr {address}, align {self.bytes}")
        return self.widened(at, stored, lanes)

    def widened(self, at: Assembly, stored: str, lanes: int) -> str:
        """Return numbers in working precision, given as they lie in memory."""
        working = f"<{lanes} x {self.working}>"
        if self.name == "bfloat16":
            wide = at.get(f"zext <{lanes} x i16> {stored} to <{lanes} x i32>")
            high = at.get(f"shl <{lanes} x i32> {wide}, splat (i32 16)")
            return at.get(f"bitcast <{lanes} x i32> {high} to {working}")
        if self.name == "float16":
            return at.get(f"fpext <{lanes} x half> {stored} to {working}")
        return stored

    def store(self, at: Assembly, value: str, address: str, lanes: int, *, past: bool = False) -> None:
        """Write ``lanes`` numbers, given in working precision; past the caches only where all fit evenly."""
        if self.name == "bfloat16":
            cut = at.get(f"lshr <{lanes} x i32> {rounded_to_bfloat16(at, value, lanes)}, splat (i32 16)")
            value = at.get(f"trunc <{lanes} x i32> {cut} to <{lanes} x i16>")
        elif self.name == "float16":
            value = at.get(f"fptrunc <{lanes} x float> {value} to <{lanes} x half>")
        how = f"align {lanes * self.bytes}, !nontemporal !0" if past else f"align {self.bytes}"
        at.do(f"store <{lanes} x {self.memory}> {value}, ptr {address}, {how}")


def rounded_to_bfloat16(at: Assembly, value: str, lanes: int) -> str:
    """Return bits, rounded to nearest, ties to even, in the upper half; NaN must not arrive."""
    bits = at.get(f"bitcast <{lanes} x float> {value} to <{lanes} x i32>")
    high = at.get(f"lshr <{lanes} x i32> {bits}, splat (i32 16)")
    odd = at.get(f"and <{lanes} x i32> {high}, splat (i32 1)")
    half = at.get(f"add <{lanes} x i32> {odd}, splat (i32 32767)")
    return at.get(f"add <{lanes} x i32> {bits}, {half}")


ELEMENTS = {
    "float16": Element("float16", "half", 2, "float", 0x7C00),
    "bfloat16": Element("bfloat16", "i16", 2, "float", 0x7F80),
    "float32": Element("float32", "float", 4, "float", 0x7F800000),
    "float64": Element("float64", "double", 8, "double", 0x7FF0000000000000),
}
"""Every dtype that kernels read, by name."""
