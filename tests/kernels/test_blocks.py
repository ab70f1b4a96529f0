"""A network in blocks is the same network, and no block needs more wires than there are registers."""

from __future__ import annotations

import numpy as np
import pytest

from varangian.kernels.compiled.blocks import Block, partition
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
    (29, 16),
    (51, 8),
    (51, 16),
    (64, 28),
    (65, 24),
    (101, 12),
    (128, 24),
]


def through(comparators: list[Comparator], wires: list[np.ndarray]) -> None:
    for i, j, low, high in comparators:
        one, other = wires[i], wires[j]
        if low:
            wires[i] = np.minimum(one, other)
        if high:
            wires[j] = np.maximum(one, other)


def programs(n: int) -> list[Program]:
    return [Middle(), Trimmed(n // 5), Nearest(n // 4, Middle())] if n < 60 else [Middle()]


def cases() -> list[tuple[Program, int, int]]:
    return [(program, n, registers) for n, registers in SIZES for program in programs(n)]


@pytest.mark.parametrize(("program", "n", "registers"), cases())
def test_blocks_are_the_network(program: Program, n: int, registers: int) -> None:
    network = list(selection_network(program.labels(n)))
    blocks = partition(network, n, registers)
    check_wires(blocks, registers)
    assert sorted(c for block in blocks for c in block.comparators) == sorted(network)
    values = list(np.random.default_rng(n).standard_normal((n, 40)))
    whole, piecewise = list(values), list(values)
    through(network, whole)
    for block in blocks:
        through(block.comparators, piecewise)
    assert np.array_equal(whole, piecewise)


def check_wires(blocks: list[Block], registers: int) -> None:
    for block in blocks:
        assert len(block.wires) <= registers
        assert block.wires == sorted(set(block.wires))
        assert {wire for c in block.comparators for wire in c[:2]} <= set(block.wires)


@pytest.mark.parametrize("n", [29, 51, 64])
def test_a_block_does_more_than_it_loads(n: int) -> None:
    """Blocks would be no use otherwise: a comparator alone loads two wires."""
    network = selection_network(Middle().labels(n))
    blocks = partition(network, n, 16)
    assert sum(len(block.wires) for block in blocks) < len(network)


def test_the_same_every_time() -> None:
    network = selection_network(Trimmed(5).labels(40))
    assert partition(network, 40, 16) == partition(network, 40, 16)


def test_nothing_to_do() -> None:
    assert partition((), 40, 16) == []
