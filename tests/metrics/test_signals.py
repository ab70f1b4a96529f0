"""What is measured of a stage, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from varangian.core.moments import Moments
from varangian.metrics import Trail, cosine, describe, measure, variance_to_norm
from varangian.metrics.signals import cosines


@pytest.mark.parametrize("k", [1, 2, 7, 30])
@pytest.mark.parametrize("d", [1, 5, 200])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_describe_is_numpys(k: int, d: int, offset: float) -> None:
    x = np.random.default_rng(k * d).standard_normal((k, d)) + offset
    got = describe("sent", Moments.of(torch.from_numpy(x)))
    assert set(got) == {"sent_variance", "sent_norm", "sent_largest"}
    assert float(got["sent_variance"]) == pytest.approx(x.var(0, ddof=1).sum() if k > 1 else 0.0, rel=1e-12)
    assert float(got["sent_norm"]) == pytest.approx(np.linalg.norm(x.mean(0)), rel=1e-12)
    assert float(got["sent_largest"]) == pytest.approx(np.abs(x.mean(0)).max(), rel=1e-12)


def test_many_runs_are_each_as_by_itself() -> None:
    x = torch.randn(4, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    together = describe("x", Moments.of(x))
    for run in range(4):
        for name, value in describe("x", Moments.of(x[run])).items():
            torch.testing.assert_close(together[name][run], value, rtol=1e-12, atol=0)


def test_nan_shows() -> None:
    columns = describe("a", Moments.of(torch.full((2, 3), torch.nan)))
    assert all(math.isnan(value) for value in columns.values())


@pytest.mark.parametrize("seed", range(5))
def test_cosine_is_numpys(seed: int) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, 9))
    want = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert float(cosine(torch.from_numpy(a), torch.from_numpy(b))) == pytest.approx(want, rel=1e-12)
    assert float(cosine(torch.from_numpy(a), torch.from_numpy(-3 * a))) == pytest.approx(-1)
    (named,) = cosines({"a": torch.from_numpy(a), "b": torch.from_numpy(b)}).items()
    assert named == ("a_to_b", pytest.approx(want, rel=1e-12))


def test_cosine_of_nothing_is_not_a_number() -> None:
    assert math.isnan(cosine(torch.zeros(3), torch.ones(3)))
    assert math.isnan(cosine(torch.ones(3), torch.full((3,), torch.nan)))


def test_variance_to_norm() -> None:
    x = np.random.default_rng(1).standard_normal((6, 4)) + 1
    want = math.sqrt(x.var(0, ddof=1).sum()) / np.linalg.norm(x.mean(0))
    columns = describe("x", Moments.of(torch.from_numpy(x)))
    assert float(variance_to_norm(columns, "x")) == pytest.approx(want)
    nothing = describe("x", Moments.of(torch.zeros(2, 3)))
    assert float(variance_to_norm(nothing, "x")) == math.inf


def test_a_step_is_told_in_seventeen_numbers_and_the_ratio() -> None:
    x = [Moments.of(torch.randn(3, 5, generator=torch.Generator().manual_seed(i))) for i in range(3)]
    columns = measure(*x, torch.ones(5))
    assert len(columns) == 17 + 1
    assert len([name for name in columns if "_to_" in name and "variance" not in name]) == 6
    assert len(measure(x[0], x[1], None, torch.ones(5))) == 3 + 3 + 2 + 3 + 1


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.99])
def test_curvature_is_what_the_norm_of_the_momentum_owes_to_straightness(mu: float) -> None:
    """|sum mu^(t-u) g_u|^2 is the sum of mu^(2(t-u)) |g_u|^2, and the curvature."""
    rng = np.random.default_rng(3)
    gradients = rng.standard_normal((12, 7))
    trail = Trail.start(torch.zeros(7, dtype=torch.float64))
    for t, gradient in enumerate(gradients):
        trail, told = trail.onward(torch.from_numpy(gradient), mu)
        weights = mu ** np.arange(t, -1, -1.0)
        momentum = (weights[:, None] * gradients[: t + 1]).sum(0)
        own = (weights**2 * (gradients[: t + 1] ** 2).sum(1)).sum()
        assert float(told["curvature"]) == pytest.approx(momentum @ momentum - own, rel=1e-9, abs=1e-12)
        if t:
            a, b = gradients[t], gradients[t - 1]
            want = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            assert float(told["sampled_to_previous"]) == pytest.approx(want, rel=1e-12)
