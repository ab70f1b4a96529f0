"""A network in blocks, each of which touches no more wires than there are registers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from varangian.kernels.networks import Comparator

SEEDS = 6
"""Comparators that a block is tried to be grown from."""


class Block(NamedTuple):
    """The wires that a block holds in registers, and the comparators it does, in order."""

    wires: list[int]
    comparators: list[Comparator]


def partition(network: Sequence[Comparator], n: int, registers: int) -> list[Block]:
    """Return the network's comparators in blocks; within a wire, their order is kept.

    Greedy: of a few beginnings, the block that does most per wire it loads.
    """
    if n <= registers:
        return [Block(list(range(n)), list(network))]
    rest = _Rest(network, n)
    blocks: list[Block] = []
    while rest.left:
        tried = [rest.done_by(rest.grown(seed, registers)) for seed in rest.ready(SEEDS)]
        best = max(tried, key=lambda done: len(done) / len(rest.touched(done)))
        blocks.append(Block(sorted(rest.touched(best)), [network[c] for c in best]))
        rest.do(best)
    return blocks


class _Rest:
    """The comparators that are still to do, wire by wire."""

    def __init__(self, network: Sequence[Comparator], n: int) -> None:
        self.network = network
        self.of_wire: list[list[int]] = [[] for _ in range(n)]
        for c, comparator in enumerate(network):
            self.of_wire[comparator.i].append(c)
            self.of_wire[comparator.j].append(c)
        self.at = [0] * n
        self.left = len(network)

    def next(self, wire: int, at: Sequence[int] | dict[int, int]) -> int | None:
        """Return the next comparator on a wire, given how many are done on it."""
        return self.of_wire[wire][at[wire]] if at[wire] < len(self.of_wire[wire]) else None

    def other(self, c: int, wire: int) -> int:
        """Return the comparator's other wire."""
        return self.network[c].j if self.network[c].i == wire else self.network[c].i

    def ready(self, count: int) -> list[tuple[int, int]]:
        """Return the wires of the first few comparators that wait for no other."""
        found: list[tuple[int, int]] = []
        for c, (i, j, _, _) in enumerate(self.network):
            if self.next(i, self.at) == c == self.next(j, self.at):
                found.append((i, j))
                if len(found) == count:
                    break
        return found

    def touched(self, done: Iterable[int]) -> set[int]:
        """Return the wires of some comparators."""
        return {wire for c in done for wire in self.network[c][:2]}

    def done_by(self, wires: Iterable[int]) -> list[int]:
        """Return what can be done on these wires alone, in order."""
        at = {wire: self.at[wire] for wire in wires}
        return sorted(self._run(at, list(at)))

    def do(self, done: Iterable[int]) -> None:
        """Count some comparators as done."""
        for c in done:
            self.at[self.network[c].i] += 1
            self.at[self.network[c].j] += 1
            self.left -= 1

    def grown(self, seed: Iterable[int], registers: int) -> set[int]:
        """Return wires, grown from a few by what lets most comparators be done for each wire added."""
        at = {wire: self.at[wire] for wire in seed}
        self._run(at, list(at))
        while len(at) < registers:
            choices = [c for c in self._additions(at) if len(at) + len(c) <= registers]
            if not choices:
                break
            gains = {choice: self._gain(at, choice) / len(choice) for choice in choices}
            best = max(choices, key=lambda choice: (gains[choice], -min(choice)))
            at |= {wire: self.at[wire] for wire in best}
            self._run(at, list(best))
        return set(at)

    def _additions(self, at: dict[int, int]) -> set[tuple[int, ...]]:
        """Return the wires that the next comparators here wait for; with the one that those wait for."""
        found: set[tuple[int, ...]] = set()
        for wire in at:
            c = self.next(wire, at)
            if c is None or self.other(c, wire) in at:
                continue
            other = self.other(c, wire)
            found.add((other,))
            before = self.next(other, self.at)
            if before is not None and before != c and self.other(before, other) not in at:
                found.add((other, self.other(before, other)))
        return found

    def _gain(self, at: dict[int, int], more: tuple[int, ...]) -> int:
        trial = at | {wire: self.at[wire] for wire in more}
        return len(self._run(trial, list(more)))

    def _run(self, at: dict[int, int], stack: list[int]) -> list[int]:
        """Do all that can be done on some wires, beginning at those on the stack; return what was done."""
        done = []
        while stack:
            wire = stack.pop()
            c = self.next(wire, at)
            if c is None:
                continue
            other = self.other(c, wire)
            if other in at and self.next(other, at) == c:
                done.append(c)
                at[wire] += 1
                at[other] += 1
                stack += [wire, other]
        return done
