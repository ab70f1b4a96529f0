"""Column programs in PTX, the language of NVIDIA's processors: one block of instructions, quick to compile.

Triton takes minutes over a network of a hundred rows; it takes a block of instructions as it is.
"""

from __future__ import annotations

import struct

from varangian.kernels.networks import selection_network
from varangian.kernels.programs import Arithmetic, Program


def ptx_block(program: Program, n: int, *, wide: bool) -> str:
    """Return the instructions that make of $1 to $n, all finite, what $0 is, in float64.

    The inputs are float64 themselves if they are ``wide``, float32 otherwise.
    """
    kind = "f64" if wide else "f32"
    on = _Registers(kind)
    wires = [on.register(kind) for _ in range(n)]
    for place, wire in enumerate(wires, 1):
        on.do(f"mov.{kind} {wire}, ${place}")
    for i, j, low, high in selection_network(program.labels(n)):
        one, other = wires[i], wires[j]
        if low:
            wires[i] = on.get(f"min.{kind}", one, other, kind=kind)
        if high:
            wires[j] = on.get(f"max.{kind}", one, other, kind=kind)
    on.do(f"mov.f64 $0, {program.value(dict(enumerate(wires)), n, on)}")
    return on.text()


class _Registers(Arithmetic[str]):
    """Instructions as they grow; no register is written twice, the assembler shares them out."""

    def __init__(self, narrow: str) -> None:
        self.narrow = narrow
        self.lines: list[str] = []
        self.made = {"f32": 0, "f64": 0, "pred": 0}

    def text(self) -> str:
        letters = {kind: f".reg .{kind} {kind}_<{count}>;" for kind, count in self.made.items() if count}
        return " ".join(["{", *letters.values(), *self.lines, "}"])

    def do(self, line: str) -> None:
        self.lines.append(f"{line};")

    def register(self, kind: str) -> str:
        self.made[kind] += 1
        return f"{kind}_{self.made[kind] - 1}"

    def get(self, instruction: str, *operands: str, kind: str = "f64") -> str:
        made = self.register(kind)
        self.do(f"{instruction} {', '.join([made, *operands])}")
        return made

    def widened(self, x: str) -> str:
        return x if self.narrow == "f64" else self.get("cvt.f64.f32", x)

    def add(self, x: str, y: str) -> str:
        return self.get("add.rn.f64", x, y)

    def divided(self, x: str, by: int) -> str:
        return self.get("div.rn.f64", x, _constant(by))

    def sign(self, x: str) -> str:
        below = self.if_less(x, _constant(0), _constant(-1), _constant(0))
        return self.if_less(_constant(0), x, _constant(1), below)

    def if_less(self, x: str, y: str, then: str, other: str) -> str:
        held = self.get("setp.lt.f64", x, y, kind="pred")
        return self.get("selp.f64", then, other, held)


def _constant(number: float) -> str:
    """Return a number as PTX writes it: the bits of the float64."""
    return f"0d{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"
