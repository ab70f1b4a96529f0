"""The geometric median to the last digits where it is hard: beside a vector, on a line, under liars."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import pytest
import torch

import varangian as vg
from varangian.aggregators import balance
from varangian.core.spans import Span


def found(x: np.ndarray, **options: Any) -> np.ndarray:
    f = (len(x) - 1) // 2
    result: torch.Tensor = vg.GeometricMedian(f=f)(torch.from_numpy(x.copy()), **options)
    return result.numpy()


def pulled_off(margin: float, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Return vectors around a first one, at the origin, at which they pull that much harder than it holds."""
    far = rng.standard_normal((n, d))
    far -= oracle.exact_geometric_median(far)  # no pull at all at the origin
    sense = rng.standard_normal(d)

    def pull(drift: float) -> float:
        moved = far + drift * sense
        return float(np.linalg.norm((moved / np.linalg.norm(moved, axis=1, keepdims=True)).sum(0)))

    low, high = 0.0, 100.0
    for _ in range(100):
        drift = (low + high) / 2
        low, high = (drift, high) if pull(drift) < 1 + margin else (low, drift)
    return np.concatenate([np.zeros((1, d)), far + high * sense])


@pytest.mark.parametrize("margin", [1e-1, 1e-3, 1e-5, 1e-7, 1e-9])
def test_beside_a_vector(margin: float) -> None:
    beside = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = pulled_off(margin, rng, 7, 4)
        want = oracle.exact_geometric_median(x)
        got = found(x)
        beside += 0 < np.linalg.norm(want) < 100 * margin
        assert np.linalg.norm(got - want) <= 1e-13
        shift = np.array([3.0, -1.0, 0.5, 2.0])
        assert np.linalg.norm(found(x + shift) - shift - want) <= 1e-13
    assert beside >= 9, beside


@pytest.mark.parametrize("apart", [1e-2, 1e-4, 1e-6])
def test_between_near_twins(apart: float) -> None:
    """Two vectors close together, of which neither holds alone."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((8, 3))
        x[1] = x[0] + apart * rng.standard_normal(3)
        x[2:5] += x[0] - x[2:5].mean(0)
        try:
            want = oracle.exact_geometric_median(x)
        except oracle.Ambiguous:
            continue
        assert np.linalg.norm(found(x) - want) <= 1e-10


LINES: list[tuple[list[float], float]] = [
    ([0.0, 1.0], 0.5),
    ([0.0, 1.0, 5.0, 7.0], 3.0),
    ([7.0, 0.0, 5.0, 1.0], 3.0),
    ([2.0, 2.0, 2.0, 9.0, 9.0, 9.0], 5.5),
    ([0.0, 1.0, 1e6, 1e6 + 1.0], 500000.5),
    ([0.0, 2.0, 4.0, 1e25], 3.0),
    ([0.0, 1.0, 3.0], 1.0),
]


@pytest.mark.parametrize(("places", "middle"), LINES, ids=str)
@pytest.mark.parametrize("direction", [[1.0], [3.0, 4.0], [-1.0, 2.0, 2.0]], ids=str)
def test_on_a_line_the_midpoint_of_what_is_least(
    places: list[float], middle: float, direction: list[float]
) -> None:
    x = np.outer(places, direction)
    want = middle * np.array(direction)
    np.testing.assert_allclose(found(x), want, rtol=1e-12)
    np.testing.assert_allclose(oracle.exact_geometric_median(x), want, rtol=1e-15)


def test_in_one_dimension_it_is_the_median() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((int(rng.integers(1, 12)), 1))
        np.testing.assert_allclose(found(x), np.median(x, axis=0), rtol=0, atol=1e-14)


def test_a_weightless_vector_inside_the_stretch_changes_nothing() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]])
    np.testing.assert_allclose(found(x, weights=[1, 1, 0, 1, 1], mass=0.4), [2.0])
    np.testing.assert_allclose(found(x, weights=[1, 1, 1, 1, 0], mass=0.4), [1.5])


@pytest.mark.parametrize("scale", [1e4, 1e10, 1e25])
def test_liars_cost_no_digit(scale: float) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((9, 3))
        x[-4:] = scale * rng.standard_normal((1 if seed % 2 else 4, 3))
        want = oracle.exact_geometric_median(x)
        assert np.linalg.norm(found(x) - want) <= 1e-11 * np.linalg.norm(want)


@pytest.mark.parametrize(("scale", "far"), [(1.0, 1e300), (1e-24, 1e300), (1e-100, 1e100)])
def test_nor_where_a_ratio_of_squares_is_no_number(scale: float, far: float) -> None:
    rng = np.random.default_rng(0)
    x = scale * rng.standard_normal((5, 7))
    x[4] = far * np.sign(rng.standard_normal(7))  # as it is when it was cut to the largest that is read
    nearer = x.copy()
    nearer[4] *= 1e20 * scale / np.abs(x[4]).max()
    for rule in (vg.GeometricMedian(f=1), vg.CenteredClipping(f=1, radius=scale)):
        np.testing.assert_allclose(rule(x), rule(nearer), rtol=1e-9)


@pytest.mark.parametrize("scale", [1e3, 1e8, 1e20])
def test_few_heavy_parties_outweigh_many_light_ones_far_away(scale: float) -> None:
    """The least point lies where the weight is, not where most vectors are."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 3))
    x[3:] += scale
    weights = np.array([0.3, 0.25, 0.25, *[0.2 / 6] * 6])
    want = oracle.exact_geometric_median(x, weights)
    assert np.linalg.norm(found(x, weights=weights, mass=0.4) - want) <= 1e-11 * np.linalg.norm(want)


def test_together_as_alone() -> None:
    """Problems that end on a vector, on a line, beside a vector and under liars, in one batch."""
    rng = np.random.default_rng(0)
    plain, liars = rng.standard_normal((2, 8, 4))
    liars[-3:] *= 1e12
    line = np.outer(rng.standard_normal(8), [1.0, 2.0, 2.0, 0.0])
    held = np.concatenate([np.zeros((5, 4)), rng.standard_normal((3, 4))])
    batch = np.stack([plain, liars, line, held, pulled_off(1e-4, rng, 7, 4)])
    for got, x in zip(found_each(batch), batch, strict=True):
        np.testing.assert_allclose(got, found(x), rtol=1e-12, atol=1e-13)


def found_each(batch: np.ndarray) -> np.ndarray:
    result: torch.Tensor = vg.GeometricMedian(f=3)(torch.from_numpy(batch.copy()))
    return result.numpy()


@pytest.mark.parametrize("seed", [33, 34, 35])
def test_there_is_an_end_beside_near_copies(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between copies that rounding has set apart, a least point would be sought for ever."""
    steps, moves = list[int](), balance._moves

    def counted(*told: Any) -> Any:
        steps.append(1)
        return moves(*told)

    monkeypatch.setattr(balance, "_moves", counted)
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((1, 20, 6))
    points[0, 3:] -= points[0, 3:].mean(0)
    points[0, :3] = 1e-31 * rng.standard_normal((3, 6))
    points[0, 0] = 0
    with np.errstate(all="ignore"):
        balance._balanced(points, np.full(20, 1 / 20), np.full((1, 6), 0.2), np.full(1, 1e-18), 3000, 1e-15)
    assert len(steps) < 100


def test_smoothed_steps_end_when_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come to the same as all of them, and each run to the same bits as alone."""
    x = np.random.default_rng(4).standard_normal((3, 9, 6))
    x[1] *= 1e3  # takes more steps than its neighbours
    rule, taken = vg.GeometricMedian(f=3, nu=0.1, steps=3000), 0
    squared_distances = Span.squared_distances

    def counted(span: Span, weights: np.ndarray) -> np.ndarray:
        nonlocal taken
        taken += 1
        return squared_distances(span, weights)

    monkeypatch.setattr(Span, "squared_distances", counted)
    together = rule(torch.from_numpy(x)).numpy()
    assert taken < 300
    for run, alone in zip(x, together, strict=True):
        np.testing.assert_allclose(
            alone, oracle.geometric_median(run, 3000, 0.1), rtol=0, atol=1e-12 * abs(run).max()
        )
        np.testing.assert_array_equal(alone, rule(torch.from_numpy(run)).numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e6, 1e12, 1e20, 1e36])
def test_smoothed_steps_go_on_until_a_huge_outlier_has_lost_its_pull(far: float, dtype: torch.dtype) -> None:
    x = torch.from_numpy(np.random.default_rng(6).standard_normal((5, 3))).to(dtype)
    x[2] = far
    got = vg.GeometricMedian(f=1, nu=0.1, steps=1000)(x)
    want = oracle.geometric_median(x.double().numpy(), 1000, 0.1)
    assert np.linalg.norm(want) < 3
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1e-8, 1e-10])
def test_half_of_the_vectors_may_form_a_tiny_cluster(size: float) -> None:
    """The minimiser then lies inside, where it shows all that is seen of the cluster."""
    for seed in range(10):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x[0] = 0
        x[1:4] *= size
        apart = x - vg.GeometricMedian(f=0)(x)
        pulls = apart / apart.norm(dim=-1, keepdim=True)
        assert float(pulls.sum(0).norm()) < 1e-4
