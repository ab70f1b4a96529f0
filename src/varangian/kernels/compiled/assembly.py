"""LLVM's language, written line by line: names for what is made, and a few phrases."""

from __future__ import annotations

import struct


class Assembly:
    """The body of one function, as it grows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._made = 0

    def do(self, line: str) -> None:
        """Write an instruction that makes nothing."""
        self.lines.append(f"  {line}")

    def get(self, instruction: str) -> str:
        """Write an instruction, and return the name of what it makes."""
        self._made += 1
        name = f"%v{self._made}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def label(self, name: str) -> None:
        """Begin a stretch that can be jumped to, coming from the one before."""
        self.do(f"br label %{name}")
        self.enter(name)

    def enter(self, name: str) -> None:
        """Begin a stretch that is jumped to only."""
        self.lines.append(f"{name}:")

    def index(self, array: str, place: str, kind: str) -> str:
        """Return the address of an entry."""
        return self.get(f"getelementptr {kind}, ptr {array}, i64 {place}")

    def next_of(self, counter: str, step: int, end: str, loop: str, after: str) -> None:
        """End a loop: count on, and go round again while below the end; the next count is ``counter``n."""
        self.do(f"{counter}n = add i64 {counter}, {step}")
        more = self.get(f"icmp ult i64 {counter}n, {end}")
        self.do(f"br i1 {more}, label %{loop}, label %{after}")
        self.enter(after)


def constant(number: float, kind: str) -> str:
    """Return a number as LLVM writes it: the bits of the float64."""
    if kind == "float":
        number = struct.unpack("<f", struct.pack("<f", number))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat(number: float, kind: str, lanes: int) -> str:
    """Return a vector of one number."""
    return f"<{', '.join([f'{kind} {constant(number, kind)}'] * lanes)}>"
