"""Arithmetic in Triton's language: a value is the name of a block of one number per column."""

from __future__ import annotations

from collections.abc import Iterable

from varangian.kernels.programs import Arithmetic
from varangian.kernels.rows import LARGEST

TYPES = {"float16": "tl.float16", "bfloat16": "tl.bfloat16", "float32": "tl.float32", "float64": "tl.float64"}
"""Every dtype that kernels read, by name, and what Triton calls it."""


class Words(Arithmetic[str]):
    """Lines of a kernel's body, as it grows; ``kind`` is what its numbers are worked with."""

    def __init__(self, kind: str = "tl.float64") -> None:
        self.kind = kind
        self.lines: list[str] = []
        self._made = 0

    def do(self, line: str) -> None:
        """Write a line that makes nothing."""
        self.lines.append(line)

    def get(self, expression: str) -> str:
        """Write an expression, and return the name of what it makes."""
        self._made += 1
        self.do(f"v{self._made} = {expression}")
        return f"v{self._made}"

    def add(self, x: str, y: str) -> str:
        """Return x + y."""
        return self.get(f"{x} + {y}")

    def sub(self, x: str, y: str) -> str:
        """Return x - y."""
        return self.get(f"{x} - {y}")

    def divided(self, x: str, by: int) -> str:
        """Return x over a number, rounded once: of float32, only what is named so is."""
        single = self.kind == "tl.float32"
        return self.get(f"tl.div_rn({x}, {float(by)!r})" if single else f"{x} / {float(by)!r}")

    def sign(self, x: str) -> str:
        """Return 1, -1, or 0."""
        return self.get(f"({x} > 0.0).to({self.kind}) - ({x} < 0.0).to({self.kind})")

    def if_less(self, x: str, y: str, then: str, other: str) -> str:
        """Return ``then`` where x < y, ``other`` elsewhere."""
        return self.get(f"tl.where({x} < {y}, {then}, {other})")

    def least(self, x: str, y: str) -> str:
        """Return the lesser."""
        return self.get(f"tl.minimum({x}, {y})")

    def most(self, x: str, y: str) -> str:
        """Return the larger."""
        return self.get(f"tl.maximum({x}, {y})")


def working(element: str) -> str:
    """Return what numbers of a dtype are worked with."""
    return "tl.float64" if element == "float64" else "tl.float32"


def loaded(name: str, address: str, mask: str, element: str, *, replace: bool = True) -> list[str]:
    """Return the lines that load numbers; ``name_ok`` tells which are finite, zero replaces the others."""
    lines = [
        f"{name} = tl.load({address}, mask={mask}, other=0.0).to({working(element)})",
        f'{name}_ok = tl.abs({name}) < float("inf")',
    ]
    if replace:
        lines.append(f"{name} = tl.where({name}_ok, {name}, 0.0)")
    if replace and element == "float64":
        lines.append(f"{name} = tl.minimum(tl.maximum({name}, {-LARGEST!r}), {LARGEST!r})")
    return lines


def rounded(value: str, element: str) -> list[str]:
    """Return the lines that round a value to ``rounded``, by way of working precision, as PyTorch does."""
    lines = [f"rounded = {value}.to({working(element)})"]
    if element == "bfloat16":  # in whole numbers, to nearest and ties to even: not every processor can
        lines += [
            "bits = rounded.to(tl.int32, bitcast=True)",
            "bits = (bits + 32767 + ((bits >> 16) & 1)) & -65536",
            "bits = bits.to(tl.float32, bitcast=True)",
            "rounded = tl.where(rounded == rounded, bits, rounded)",  # a carry would make a number of NaN
        ]
    return [*lines, f"rounded = rounded.to(tl.{element})"]


def counting(n: str, element: str, condition: str = "") -> list[str]:
    """Return the lines that count row by row what is not finite, if a condition holds."""
    return [
        *([f"if {condition}:"] if condition else []),
        *(f"{'    ' * bool(condition)}{line}" for line in _counted(n, element)),
    ]


def _counted(n: str, element: str) -> list[str]:
    return [
        f"for i in range({n}):",
        f"    row = tl.load(rows + i).to(tl.pointer_type({TYPES[element]}))",
        *(f"    {line}" for line in loaded("x", "row + c", "inside", element, replace=False)),
        "    lost = tl.sum((1 - x_ok.to(tl.int32)).to(tl.int64), 0)",
        f"    tl.atomic_add(counts + run * {n} + i, lost, mask=lost > 0)",
    ]


def indented(lines: Iterable[str], depth: int) -> str:
    """Return the text of lines that stand so deep."""
    return "".join(f"{'    ' * depth}{line}\n" for line in lines)
