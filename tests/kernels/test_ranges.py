"""Sums in which every row counts the same: put together from ranges, they are what they are row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kernels.examples import normal

from varangian.kernels.combine import combined, reduced_mix
from varangian.kernels.compiled.tiles import TILE
from varangian.kernels.programs import Middle, Program, Trimmed
from varangian.kernels.ranges import Ranges
from varangian.kernels.rows import FEW, Rows, Segment


def chosen(m: int, n: int, share: float, seed: int) -> np.ndarray:
    """Return weights of sums that take each row with this probability, and at least one."""
    generator = np.random.default_rng(seed)
    taken = generator.random((m, n)) < share
    taken[np.arange(m), generator.integers(n, size=m)] = True
    return taken / taken.sum(1, keepdims=True)


def second_read(x: torch.Tensor) -> Rows:
    """Return rows that have been looked at before."""
    rows = Rows([Segment(x)])
    rows.reads = 1
    return rows


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 0.95, 1.0])
@pytest.mark.parametrize(("m", "n"), [(2, 1), (3, 2), (5, 7), (25, 25), (9, 40)])
def test_every_sum_takes_what_it_should(m: int, n: int, share: float) -> None:
    weights = chosen(m, n, share, seed=m + n)
    ranges = Ranges.of(weights)
    assert ranges is not None
    values = np.random.default_rng(0).integers(100, size=n)  # so that sums are exact
    parts = [values[ranges.order[: ranges.common]].sum(), *values[ranges.order[ranges.common :]]]
    lists = np.split(ranges.listed, ranges.ends[:-1])
    parts += [sum(parts[place] for place in one) for one in lists[: len(lists) - m]]
    sums = [sum(parts[place] for place in one) for one in lists[len(lists) - m :]]
    assert sums == ((weights != 0) @ values).tolist()
    assert ranges.scales.tolist() == weights.max(1).tolist()


def test_rows_that_count_differently_are_not_put_together() -> None:
    assert Ranges.of(np.array([[0.5, 0.5], [0.25, 0.75]])) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("compiled")
def test_rows_may_have_a_share_of_their_own_in_all_sums(dtype: torch.dtype) -> None:
    weights = chosen(9, 12, 0.7, seed=3)
    weights = (weights != 0) * np.random.default_rng(4).uniform(0.1, 1, 12)
    ranges = Ranges.of(weights)
    assert ranges is not None
    assert ranges.factors is not None
    x = normal(12, 20_000 + TILE // 3, dtype=dtype)
    out = torch.empty(9, x.shape[1], dtype=dtype)
    combined(second_read(x), torch.from_numpy(weights), [out])
    want = torch.from_numpy(weights) @ x.double()
    torch.testing.assert_close(out, want.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


def test_a_common_part_is_made_once() -> None:
    weights = (1 - np.eye(16, 32)) / 31
    ranges = Ranges.of(weights)
    assert ranges is not None
    assert ranges.common == 16
    assert 3 * len(ranges.listed) < 16 * 31  # what would be added row by row


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("d", [FEW, FEW + 3 * TILE + 77])
def test_sums_of_rows_in_memory(d: int, dtype: torch.dtype, compiled: None) -> None:
    x, weights = normal(25, d, dtype=dtype), torch.from_numpy(chosen(25, 25, 0.8, seed=1))
    out = torch.empty(25, d, dtype=dtype)
    combined(second_read(x), weights, [out])
    exact = weights @ x.double()
    kind = torch.finfo(dtype)
    bound = kind.eps * (exact.abs() + kind.smallest_normal) + 1e-12  # the other order of float64
    assert ((out.double() - exact).abs() <= bound).all()


@pytest.mark.parametrize("place", [0, FEW // 2, FEW + 76])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38])
def test_a_value_that_is_not_finite_counts_as_zero(value: float, place: int, compiled: None) -> None:
    x, weights = normal(11, FEW + 77), torch.from_numpy(chosen(11, 11, 0.8, seed=2))
    x[3, place] = value
    clean = torch.where(x.isfinite(), x, 0.0)
    out, wanted = torch.empty(x.shape[1]), torch.empty(x.shape[1])
    reduced_mix(Trimmed(2), second_read(x), weights, [out])
    reduced_mix(Trimmed(2), second_read(clean), weights, [wanted])
    assert out.isfinite().all()
    assert torch.allclose(out, wanted, rtol=1e-6, atol=1e-6)


def test_a_row_leaves_no_trace_in_sums_without_it(compiled: None) -> None:
    x = normal(9, FEW)
    weights = torch.from_numpy((1 - np.eye(9)) / 8)
    huge = x.clone()
    huge[4] = 1e30
    outs = [torch.empty(9, FEW) for _ in range(2)]
    for values, out in zip((x, huge), outs, strict=True):
        combined(second_read(values), weights, [out])
    assert torch.equal(outs[0][4], outs[1][4])


def reduced_by(program: Program, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    out = torch.empty(x.shape[1], dtype=x.dtype)
    reduced_mix(program, second_read(x), weights, [out])
    return out


def with_a_common_row(m: int, n: int, *, factors: bool) -> torch.Tensor:
    weights = chosen(m, n, 0.7, seed=m)
    weights[:, n // 2] = weights.max(1)
    weights /= weights.sum(1, keepdims=True)
    if factors:
        weights = (weights != 0) * np.random.default_rng(m).uniform(0.1, 1, n) / n
    return torch.from_numpy(weights)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("factors", [False, True])
@pytest.mark.parametrize(("m", "n"), [(5, 7), (25, 25), (51, 51)])
def test_what_is_reduced_is_as_exact_as_rows_are_spread(
    m: int, n: int, factors: bool, offset: float, compiled: None
) -> None:
    x, weights = normal(n, FEW + TILE + 77) + offset, with_a_common_row(m, n, factors=factors)
    check_exactness(x, weights)


def check_exactness(x: torch.Tensor, weights: torch.Tensor) -> None:
    """Compare a trimmed mean of sums with that in float64: rows count as they are multiplied."""
    exact = (weights @ x.double()).sort(0).values[1:-1].mean(0)
    taken = weights.amax(0)[:, None] * x
    spread = (taken.amax(0) - taken.amin(0)) * (weights > 0).sum(1).max()
    bound = torch.finfo(torch.float32).eps * (2 * exact.abs() + 4 * spread)
    assert ((reduced_by(Trimmed(1), x, weights).double() - exact).abs() <= bound).all()


@pytest.mark.parametrize("size", [1e4, 1e8, 1e20, 1e37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_huge_row_that_is_scaled_down_costs_no_digit(
    size: float, dtype: torch.dtype, compiled: None
) -> None:
    """It comes first of those that all sums take, so that the others are told by how they differ from it."""
    x, weights = normal(9, FEW + 77), with_a_common_row(9, 9, factors=True)
    weights[:, 0] = 0.1 / size
    x[0] *= size
    check_exactness(x.to(dtype).float(), weights)
    if dtype is torch.bfloat16:
        found = reduced_by(Trimmed(1), x.to(dtype), weights)
        torch.testing.assert_close(found, reduced_by(Trimmed(1), x.to(dtype).float(), weights).to(dtype))


def test_rows_that_agree_are_reduced_to_the_bit(compiled: None) -> None:
    x = normal(1, FEW + 77).expand(9, -1).contiguous()
    assert torch.equal(reduced_by(Middle(), x, with_a_common_row(9, 9, factors=False)), x[0])


def test_an_outlier_leaves_no_trace_where_sums_without_it_decide(compiled: None) -> None:
    """Of three sums one takes it, and lies above the others."""
    x = normal(9, FEW)
    weights = torch.from_numpy((1 - np.eye(9)[[2, 3, 4]]) / 8)
    weights[:2, 7] = 0
    found = []
    for outlier in (1e5, 1e30):
        x[7] = outlier
        found.append(reduced_by(Middle(), x, weights))
    assert torch.equal(*found)
    assert found[0].abs().max() < 100
