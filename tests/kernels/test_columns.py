"""The comparator network sorts, and the mean of the nearest is what sorting by distance gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from varangian.kernels.columns import (
    LONGEST_NETWORK,
    mean_of_nearest,
    middle,
    pairwise_network,
    sort_columns,
)

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
