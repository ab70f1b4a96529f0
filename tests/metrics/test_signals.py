"""What is measured of a stage, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from varangian.metrics import cosine, describe, variance_to_norm


@pytest.mark.parametrize("k", [1, 2, 7, 30])
@pytest.mark.parametrize("d", [1, 5, 200])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_describe_is_numpys(k: int, d: int, offset: float) -> None:
    x = np.random.default_rng(k * d).standard_normal((k, d)) + offset
    got = describe("sent", torch.from_numpy(x))
    assert set(got) == {"sent_variance", "sent_norm", "sent_largest"}
    assert got["sent_variance"] == pytest.approx(x.var(0, ddof=1).sum() if k > 1 else 0.0, rel=1e-12)
    assert got["sent_norm"] == pytest.approx(np.linalg.norm(x.mean(0)), rel=1e-12)
    assert got["sent_largest"] == pytest.approx(np.abs(x.mean(0)).max(), rel=1e-12)


def test_names_go_in_front() -> None:
    assert set(describe("forged", torch.zeros(2, 3))) == {"forged_variance", "forged_norm", "forged_largest"}


def test_nan_shows() -> None:
    assert all(math.isnan(value) for value in describe("a", torch.full((2, 3), torch.nan)).values())


@pytest.mark.parametrize("seed", range(5))
def test_cosine_is_numpys(seed: int) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, 9))
    want = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert cosine(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(want, rel=1e-12)
    assert cosine(torch.from_numpy(a), torch.from_numpy(-3 * a)) == pytest.approx(-1)


def test_cosine_of_nothing_is_not_a_number() -> None:
    assert math.isnan(cosine(torch.zeros(3), torch.ones(3)))
    assert math.isnan(cosine(torch.ones(3), torch.full((3,), torch.nan)))


def test_variance_to_norm() -> None:
    x = np.random.default_rng(1).standard_normal((6, 4)) + 1
    want = math.sqrt(x.var(0, ddof=1).sum()) / np.linalg.norm(x.mean(0))
    assert variance_to_norm(describe("x", torch.from_numpy(x)), "x") == pytest.approx(want)
    assert variance_to_norm({"x_variance": 1.0, "x_norm": 0.0}, "x") == math.inf
