"""Networks sort, and a pruned one brings to every label what sorting would: shown on zeros and ones."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from varangian.kernels.networks import Comparator, pairwise_network, selection_network
from varangian.kernels.programs import Middle, Nearest, Trimmed

LABELS = (None, "one", "another", "third")


def zeros_and_ones(n: int) -> NDArray[np.uint8]:
    """Return all columns of n zeros and ones: what holds for them holds for all numbers."""
    return np.array(list(itertools.product((0, 1), repeat=n)), dtype=np.uint8).T


def through(network: Sequence[Comparator], columns: NDArray[np.uint8]) -> NDArray[np.uint8]:
    wires = columns.copy()
    for i, j, low, high in network:
        one, other = wires[i].copy(), wires[j].copy()
        if low:
            wires[i] = np.minimum(one, other)
        if high:
            wires[j] = np.maximum(one, other)
    return wires


def brings_what_sorting_brings(labels: tuple[Hashable, ...]) -> bool:
    columns = zeros_and_ones(len(labels))
    got, want = through(selection_network(labels), columns), np.sort(columns, axis=0)
    groups = [
        [rank for rank, label in enumerate(labels) if label == wanted]
        for wanted in {label for label in labels if label is not None}
    ]
    return all(np.array_equal(got[group].sum(0), want[group].sum(0)) for group in groups)


@pytest.mark.parametrize("n", range(1, 13))
def test_every_rank_for_itself_is_sorting(n: int) -> None:
    columns = zeros_and_ones(n)
    network = selection_network(tuple(range(n)))
    assert np.array_equal(through(network, columns), np.sort(columns, axis=0))
    assert [(i, j) for i, j, _, _ in network] == list(pairwise_network(n))


@pytest.mark.parametrize("n", range(1, 6))
def test_any_labels_of_a_few(n: int) -> None:
    assert all(brings_what_sorting_brings(labels) for labels in itertools.product(LABELS[:3], repeat=n))


@given(st.lists(st.sampled_from([*LABELS, *range(12)]), min_size=6, max_size=12))
def test_any_labels(labels: list[Hashable]) -> None:
    assert brings_what_sorting_brings(tuple(labels))


@pytest.mark.parametrize("n", range(1, 13))
def test_labels_of_programs(n: int) -> None:
    for lower in (False, True):
        assert brings_what_sorting_brings(Middle(lower).labels(n))
    for trim in range((n + 1) // 2):
        assert brings_what_sorting_brings(Trimmed(trim).labels(n))
        assert all(brings_what_sorting_brings(Nearest(drop, Trimmed(trim)).labels(n)) for drop in range(n))


@pytest.mark.parametrize("n", [13, 31, 64, 65, 101, 256])
def test_numbers_are_sorted(n: int) -> None:
    columns = np.random.default_rng(n).integers(0, 256, (n, 300)).astype(np.uint8)
    assert np.array_equal(through(selection_network(tuple(range(n))), columns), np.sort(columns, axis=0))


@pytest.mark.parametrize("n", range(1, 40))
def test_comparators_stay_on_their_wires(n: int) -> None:
    assert all(0 <= i < j < n for i, j in pairwise_network(n))


@pytest.mark.parametrize("n", [11, 25, 51, 101])
def test_less_is_done_where_less_is_read(n: int) -> None:
    def operations(labels: tuple[Hashable, ...]) -> int:
        return sum(low + high for _, _, low, high in selection_network(labels))

    whole = operations(tuple(range(n)))
    assert whole == 2 * len(pairwise_network(n))
    assert operations(Middle().labels(n)) < 0.75 * whole
    assert operations(Middle().labels(n)) < operations(Trimmed(n // 5).labels(n)) < whole
    assert operations(Trimmed(0).labels(n)) == 0
    assert operations((None,) * n) == 0
