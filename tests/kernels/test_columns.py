"""The comparator network sorts, and the mean of the nearest is what sorting by distance gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from varangian.kernels.columns import (
    LONGEST_NETWORK,
    copies_at_end,
    mean_of_nearest,
    median,
    middle,
    sort_columns,
    trimmed_mean,
)
from varangian.kernels.networks import pairwise_network, selection_network

SIZES = [13, 16, 17, 31, 33, 64, 100, 127, 128, 200, LONGEST_NETWORK, LONGEST_NETWORK + 1, 300]


@pytest.mark.parametrize("n", range(1, 13))
def test_network_sorts_all_zeros_and_ones_and_so_everything(n: int) -> None:
    columns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=n))).T
    assert torch.equal(sort_columns(columns), columns.sort(dim=0).values)


@pytest.mark.parametrize("n", SIZES)
def test_network_sorts_floats(n: int) -> None:
    values = torch.randn(3, n, 50, generator=torch.Generator().manual_seed(n))
    values[..., ::3] = values[..., ::3].round()
    before = values.clone()
    assert torch.equal(sort_columns(values), values.sort(dim=-2).values)
    assert torch.equal(values, before)


@pytest.mark.parametrize("n", range(1, 10))
def test_any_ranks_of_all_zeros_and_ones(n: int) -> None:
    columns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=n))).T
    ordered = columns.sort(dim=0).values
    for start, stop in itertools.combinations(range(n + 1), 2):
        assert torch.equal(sort_columns(columns, start, stop), ordered[start:stop])
    for trim in range((n + 1) // 2):
        torch.testing.assert_close(
            trimmed_mean(columns, trim), ordered[trim : n - trim].mean(0, dtype=torch.float64)
        )


@pytest.mark.parametrize("copies", [1, 2, 5, 8, 12])
@pytest.mark.parametrize("others", [0, 1, 4, 7, 20])
def test_copies_at_the_end_are_sorted_as_themselves(others: int, copies: int) -> None:
    drawn = torch.randn(2, others + 1, 40, generator=torch.Generator().manual_seed(others))
    values = torch.cat([drawn, drawn[:, -1:].expand(-1, copies - 1, -1)], dim=1)
    assert copies_at_end(values) == copies
    ordered, n = values.sort(dim=-2).values, others + copies
    for start, stop in itertools.combinations(range(n + 1), 2):
        assert torch.equal(sort_columns(values, start, stop), ordered[..., start:stop, :])
    assert torch.equal(median(values), middle(ordered))
    for trim in range((n + 1) // 2):
        want = ordered[..., trim : n - trim, :].mean(-2, dtype=torch.float64)
        torch.testing.assert_close(trimmed_mean(values, trim), want, rtol=1e-12, atol=1e-12)


def test_copies_in_some_columns_only_are_no_copies() -> None:
    assert copies_at_end(torch.tensor([[1.0, 2.0], [1.0, 3.0], [1.0, 3.0]])) == 2
    assert copies_at_end(torch.tensor([[1.0, 2.0], [1.0, 3.0]])) == 1
    assert copies_at_end(torch.ones(4, 2)) == 4


def test_a_median_takes_fewer_comparators_than_a_sort() -> None:
    for n in (11, 25, 51):
        whole = 2 * len(pairwise_network(n))
        pruned = sum(low + high for _, _, low, high in selection_network(n, frozenset({n // 2})))
        heap = sum(
            low + high for _, _, low, high in selection_network(n, frozenset(range(2, n - 2)), ordered=False)
        )
        assert pruned < 0.7 * whole
        assert heap < whole
        assert len(selection_network(n, frozenset(range(n)))) == len(pairwise_network(n))


@pytest.mark.parametrize("n", range(1, 40))
def test_comparators_stay_on_their_wires(n: int) -> None:
    assert all(0 <= i < j < n for i, j in pairwise_network(n))


def test_no_columns_and_no_problems() -> None:
    assert sort_columns(torch.zeros(5, 0)).shape == (5, 0)
    assert sort_columns(torch.zeros(0, 5, 2)).shape == (0, 5, 2)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
def test_middle(n: int) -> None:
    values = torch.randn(n, 20, generator=torch.Generator().manual_seed(n))
    ordered = sort_columns(values)
    assert np.allclose(middle(ordered), np.median(values.double().numpy(), axis=0))
    assert torch.equal(median(values), middle(ordered))
    assert torch.equal(median(values, lower=True), middle(ordered, lower=True))
    assert torch.equal(middle(ordered, lower=True), values.median(dim=0).values.double())


def test_middle_of_the_largest_numbers_is_finite() -> None:
    most = torch.finfo(torch.float32).max
    assert float(middle(torch.tensor([[most], [most]]))) == most


def nearest_by_sorting(column: list[float], centre: float, keep: int) -> float:
    return float(np.mean(sorted(column, key=lambda v: (abs(v - centre), v))[:keep]))


@pytest.mark.parametrize("seed", range(60))
def test_mean_of_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    keep = int(rng.integers(1, n + 1))
    values = rng.standard_normal((n, 30)) if seed % 2 else rng.integers(-2, 3, (n, 30)).astype(float)
    values[:, 20:] *= 10.0 ** rng.integers(0, 30, (n, 1))
    centre = rng.standard_normal(30) if seed % 3 else np.round(rng.standard_normal(30))
    ordered = sort_columns(torch.from_numpy(values))
    got = mean_of_nearest(ordered, torch.from_numpy(centre), keep).numpy()
    want = [nearest_by_sorting(column.tolist(), c, keep) for column, c in zip(values.T, centre, strict=True)]
    assert np.allclose(got, want, rtol=1e-12, atol=1e-12)


def test_of_two_as_near_the_lower_is_kept() -> None:
    ordered = torch.tensor([[-1.0], [1.0]])
    assert float(mean_of_nearest(ordered, torch.tensor([0.0]), 1)) == -1.0


def test_a_huge_value_that_left_leaves_no_rounding() -> None:
    ordered = torch.tensor([[-3e38], [-3e38], [0.1], [0.2], [0.3]])
    assert float(mean_of_nearest(ordered, torch.tensor([0.2]), 3)) == pytest.approx(0.2, rel=1e-7)
