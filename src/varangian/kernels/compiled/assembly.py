"""LLVM's language, written line by line: names for what is made, and a few phrases."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

ASKS = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
"""What a module needs that asks memory for something."""


class Loop:
    """A loop as it is written: its counter, and the values that go round with it.

    What the body leaves in ``values`` is what the next round begins with. After the loop they are the last.
    """

    def __init__(self, counter: str, values: list[str]) -> None:
        self.counter = counter
        self.values = values


class Assembly:
    """The body of one function, as it grows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stretch = ""
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
        self.stretch = name

    def index(self, array: str, place: str, kind: str) -> str:
        """Return the address of an entry."""
        return self.get(f"getelementptr {kind}, ptr {array}, i64 {place}")

    def ask(self, address: str, level: int) -> None:
        """Ask memory for what lies at an address: 3 for the first cache, 2 for the second; see ``ASKS``."""
        self.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 {level}, i32 1)")

    @contextmanager
    def counted(
        self,
        name: str,
        end: str,
        *,
        start: str = "0",
        step: int | str = 1,
        carried: Sequence[tuple[str, str]] = (),
    ) -> Iterator[Loop]:
        """Write a loop around what is written meanwhile, round and round while the counter is below the end.

        ``carried`` are the kinds and the first values of what goes round.
        """
        before, counter = self.stretch, f"%{name}"
        self.label(f"{name}.head")
        self.do(f"{counter} = phi i64 [{start}, %{before}], [{counter}.next, %{name}.last]")
        values = [f"{counter}.{place}" for place in range(len(carried))]
        for value, (kind, first) in zip(values, carried, strict=True):
            self.do(f"{value} = phi {kind} [{first}, %{before}], [{value}.next, %{name}.last]")
        more = self.get(f"icmp ult i64 {counter}, {end}")
        self.do(f"br i1 {more}, label %{name}.body, label %{name}.after")
        self.enter(f"{name}.body")
        # LLVM would look for other ways to write each address; that takes as long as all else, for nothing.
        hidden = self.get(f'call i64 asm "", "=r,0"(i64 {counter})')
        loop = Loop(hidden, list(values))
        yield loop
        self.label(f"{name}.last")
        for value, (kind, _), left in zip(values, carried, loop.values, strict=True):
            self.do(f"{value}.next = bitcast {kind} {left} to {kind}")
        self.do(f"{counter}.next = add i64 {hidden}, {step}")
        self.do(f"br label %{name}.head")
        self.enter(f"{name}.after")
        loop.values = values

    def next_of(self, counter: str, step: int, end: str, loop: str, after: str) -> None:
        """End a loop: count on, and go round again while below the end; the next count is ``counter``n."""
        self.do(f"{counter}n = add i64 {counter}, {step}")
        more = self.get(f"icmp ult i64 {counter}n, {end}")
        self.do(f"br i1 {more}, label %{loop}, label %{after}")
        self.enter(after)


def read_words(array: str, *names: str) -> str:
    """Return the lines that read words of eight bytes, one after the other, each under its name."""
    return "\n  ".join(
        f"%{name}.at = getelementptr i64, ptr %{array}, i64 {place}\n  %{name} = load i64, ptr %{name}.at"
        for place, name in enumerate(names)
    )


def constant(number: float, kind: str) -> str:
    """Return a number as LLVM writes it: the bits of the float64."""
    if kind == "float":
        number = struct.unpack("<f", struct.pack("<f", number))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat(number: float, kind: str, lanes: int) -> str:
    """Return a vector of one number."""
    return f"<{', '.join([f'{kind} {constant(number, kind)}'] * lanes)}>"
