"""Column programs in PTX, the language of NVIDIA's processors: one block of instructions, quick to compile.

Triton takes minutes over a network of a hundred rows; it takes a block of instructions as it is.
"""

from __future__ import annotations

import struct

from varangian.kernels.networks import selection_network
from varangian.kernels.programs import Arithmetic, Program


def ptx_block(program: Program, n: int, *, wide: bool) -> str:
    """Return the instructions that make of $1 to $n, all finite, what $0 is, all float64 or all float32."""
    kind = "f64" if wide else "f32"
    on = _Registers(kind)
    wires = [on.register() for _ in range(n)]
    for place, wire in enumerate(wires, 1):
        on.do(f"mov.{kind} {wire}, ${place}")
    for i, j, low, high in selection_network(program.labels(n)):
        one, other = wires[i], wires[j]
        if low:
            wires[i] = on.get("min", one, other)
        if high:
            wires[j] = on.get("max", one, other)
    on.do(f"mov.{kind} $0, {program.value(dict(enumerate(wires)), n, on)}")
    return on.text()


class _Registers(Arithmetic[str]):
    """Instructions as they grow; no register is written twice, the assembler shares them out."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.lines: list[str] = []
        self.made = {kind: 0, "pred": 0}

    def text(self) -> str:
        letters = {kind: f".reg .{kind} {kind}_<{count}>;" for kind, count in self.made.items() if count}
        return " ".join(["{", *letters.values(), *self.lines, "}"])

    def do(self, line: str) -> None:
        self.lines.append(f"{line};")

    def register(self, kind: str | None = None) -> str:
        kind = kind or self.kind
        self.made[kind] += 1
        return f"{kind}_{self.made[kind] - 1}"

    def get(self, instruction: str, *operands: str, kind: str | None = None) -> str:
        made = self.register(kind)
        self.do(f"{instruction}.{self.kind} {', '.join([made, *operands])}")
        return made

    def add(self, x: str, y: str) -> str:
        return self.get("add.rn", x, y)

    def sub(self, x: str, y: str) -> str:
        return self.get("sub.rn", x, y)

    def divided(self, x: str, by: int) -> str:
        return self.get("div.rn", x, self.constant(by))

    def sign(self, x: str) -> str:
        nothing = self.constant(0)
        below = self.if_less(x, nothing, self.constant(-1), nothing)
        return self.if_less(nothing, x, self.constant(1), below)

    def if_less(self, x: str, y: str, then: str, other: str) -> str:
        held = self.get("setp.lt", x, y, kind="pred")
        return self.get("selp", then, other, held)

    def constant(self, number: float) -> str:
        """Return a number as PTX writes it: its bits."""
        if self.kind == "f32":
            return f"0f{struct.pack('>f', number).hex().upper()}"
        return f"0d{struct.pack('>d', number).hex().upper()}"
