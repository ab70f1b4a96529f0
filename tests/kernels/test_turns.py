"""A network in turns is the same network, and no turn needs more registers than there are."""

from __future__ import annotations

import numpy as np
import pytest

from varangian.kernels.compiled.turns import Turn, in_order, turns
from varangian.kernels.networks import Comparator, selection_network
from varangian.kernels.programs import Middle, Nearest, Program, Trimmed

SIZES = [
    (1, 4),
    (2, 2),
    (5, 2),
    (13, 3),
    (16, 16),
    (17, 16),
    (25, 12),
    (29, 28),
    (51, 8),
    (51, 12),
    (51, 28),
    (64, 28),
    (65, 24),
    (101, 12),
    (128, 28),
]


class Machine:
    """A few registers that are filled from wires, and wires to which some of them are written back."""

    def __init__(self, wires: list[np.ndarray], registers: int) -> None:
        self.wires, self.most = wires, registers
        self.held: dict[int, np.ndarray] = {}

    def do(self, turn: Turn) -> None:
        i, j, low, high = turn.comparator
        one, other = (self.held.pop(wire) if wire in self.held else self.wires[wire] for wire in (i, j))
        self.wires[i] = self.wires[j] = np.full_like(one, np.nan)
        if low:
            self.held[i] = np.minimum(one, other)
        if high:
            self.held[j] = np.maximum(one, other)
        for wire in turn.leaving:
            self.wires[wire] = self.held.pop(wire)

    def forget(self, needed: set[int]) -> None:
        """Drop what nobody will ask for; what they hold must then fit into the registers."""
        self.held = {wire: value for wire, value in self.held.items() if wire in needed}
        assert len(self.held) <= self.most

    def all(self) -> list[np.ndarray]:
        return [self.held.get(wire, value) for wire, value in enumerate(self.wires)]


def through(comparators: list[Comparator], wires: list[np.ndarray]) -> list[np.ndarray]:
    machine = Machine(list(wires), len(wires))
    for comparator in comparators:
        machine.do(Turn(comparator, []))
    return machine.all()


def programs(n: int) -> list[Program]:
    return [Middle(), Trimmed(n // 5), Nearest(n // 4, Middle())] if n < 60 else [Middle()]


def cases() -> list[tuple[Program, int, int]]:
    return [(program, n, registers) for n, registers in SIZES for program in programs(n)]


@pytest.mark.parametrize(("program", "n", "registers"), cases())
def test_turns_are_the_network(program: Program, n: int, registers: int) -> None:
    labels = program.labels(n)
    network = list(selection_network(labels))
    read = {rank for rank, label in enumerate(labels) if label is not None}
    found = turns(network, registers, read)
    assert sorted(turn.comparator for turn in found) == sorted(network)
    values = list(np.random.default_rng(n).standard_normal((n, 40)))
    machine = Machine(list(values), registers)
    for place, turn in enumerate(found):
        machine.do(turn)
        coming = {wire for later in found[place + 1 :] for wire in later.comparator[:2]}
        machine.forget(coming | read)
    whole, piecewise = through(network, values), machine.all()
    for rank in read:
        assert np.array_equal(whole[rank], piecewise[rank])


def test_the_next_pair_has_room() -> None:
    """What comes next is loaded before it is compared, so that there must be two registers for it."""
    read = set(range(51))
    found = turns(selection_network(Nearest(10, Middle()).labels(51)), 8, read)
    held: set[int] = set()
    for turn in found:
        held |= set(turn.comparator[:2])
        assert len(held) <= 8
        held -= set(turn.leaving)


@pytest.mark.parametrize("n", [5, 28])
def test_nothing_leaves_if_all_fit(n: int) -> None:
    network = selection_network(Middle().labels(n))
    assert turns(network, 28, {n // 2}) == [Turn(comparator, []) for comparator in network]


@pytest.mark.parametrize("n", [29, 51, 101])
def test_few_leave(n: int) -> None:
    """A comparator by itself would send two: in this order it is one of three comparators that sends one."""
    network = selection_network(Nearest(n // 5, Middle()).labels(n))
    leaving = sum(len(turn.leaving) for turn in turns(network, 28, set(range(n))))
    assert leaving < len(network) / 3


def test_the_same_every_time() -> None:
    network = selection_network(Trimmed(5).labels(40))
    assert in_order(network) == in_order(network)


def test_nothing_to_do() -> None:
    assert turns((), 16, {0}) == []
