"""Every attack with a formula, against a float64 brute force written from its definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import varangian as vg
from varangian.attacks.lines import DIRECTIONS, little_z
from varangian.errors import ParameterError

Array = NDArray[np.float64]
KINDS = ("gaussian", "far", "uneven", "copies", "one", "pair", "wide")


def honest(kind: str, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    h, d = {"one": (1, 4), "pair": (2, 3), "wide": (6, 300)}.get(kind, (9, 5))
    x = rng.standard_normal((h, d)) + 0.5
    if kind == "far":
        x = 50 + 1e-3 * x
    elif kind == "uneven":
        x *= np.logspace(-2, 2, h)[:, None]
    elif kind == "copies":
        x[:] = x[0]
    return x


def mean(x: Array) -> Array:
    return np.array([math.fsum(column) / len(x) for column in x.T])


def sigma(x: Array) -> Array:
    """Return the standard deviation with h - 1 in the denominator; zero for one vector."""
    mu = mean(x)
    return np.array(
        [math.sqrt(math.fsum((c - m) ** 2) / max(1, len(x) - 1)) for c, m in zip(x.T, mu, strict=True)]
    )


def forged(attack: vg.Attack, x: Array, b: int = 2, **options: Any) -> Array:
    result: Array = attack(x, b=b, **options)
    assert result.shape == (b, x.shape[1])
    assert all(np.array_equal(row, result[0], equal_nan=True) for row in result)
    return result[0]


FORMULAS: dict[str, tuple[vg.Attack, Callable[[Array], Array]]] = {
    "flip": (vg.SignFlip(), lambda x: -mean(x)),
    "scale up": (vg.Scale(c=7.5), lambda x: 7.5 * mean(x)),
    "scale down": (vg.Scale(c=0.25), lambda x: 0.25 * mean(x)),
    "scale one": (vg.Scale(c=1.0), mean),
    "scale negative": (vg.Scale(), lambda x: -10 * mean(x)),
    "ipm": (vg.InnerProductManipulation(), lambda x: -0.1 * mean(x)),
    "ipm of the grid": (vg.InnerProductManipulation(), lambda x: (1 - 1.1) * mean(x)),
    "ipm strong": (vg.InnerProductManipulation(epsilon=12.0), lambda x: -12 * mean(x)),
    "alie": (vg.ALittleIsEnough(z=1.5), lambda x: mean(x) - 1.5 * sigma(x)),
    "alie up": (vg.ALittleIsEnough(z=0.3, sign=1), lambda x: mean(x) + 0.3 * sigma(x)),
    "alie negative": (vg.ALittleIsEnough(z=-2.0), lambda x: mean(x) + 2 * sigma(x)),
    "zero": (vg.Zero(), lambda x: np.zeros(x.shape[1])),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name: str, kind: str) -> None:
    attack, truth = FORMULAS[name]
    for seed in range(3):
        x = honest(kind, seed)
        np.testing.assert_allclose(forged(attack, x), truth(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FORMULAS)
def test_float32_is_the_rounded_formula(name: str) -> None:
    attack, truth = FORMULAS[name]
    x = honest("far").astype(np.float32)
    got = attack(x, b=3)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[2], truth(x.astype(np.float64)).astype(np.float32))


# The default of ALittleIsEnough


def quantile(p: float) -> float:
    """Return the standard normal quantile by bisection on the error function."""
    low, high = -40.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.erfc(-middle / math.sqrt(2)) < p else (low, middle)
    return low


@pytest.mark.parametrize(
    ("n", "f"), [(25, 5), (50, 12), (51, 24), (51, 12), (25, 11), (10, 2), (11, 4), (5, 1), (100, 49)]
)
def test_default_z_is_the_papers_quantile(n: int, f: int) -> None:
    supporters = math.floor(n / 2 + 1) - f
    z = quantile((n - f - supporters) / (n - f))
    x = np.random.default_rng(n).standard_normal((n - f, 6))
    np.testing.assert_allclose(forged(vg.ALittleIsEnough(), x, f), mean(x) - z * sigma(x), rtol=1e-9)


def test_published_z() -> None:
    assert round(little_z(25, 5), 3) == 0.253
    assert round(little_z(50, 12), 3) == round(NormalDist().inv_cdf(24 / 38), 3)


@pytest.mark.parametrize(("n", "f"), [(20, 11), (4, 3), (10, 10), (3, 2), (2, 1)])
def test_infinite_z_is_refused(n: int, f: int) -> None:
    with pytest.raises(ParameterError, match=f"n = {n} and b = {f}"):
        little_z(n, f)
    if n > f:
        with pytest.raises(ParameterError, match=r"pass one, for instance z=1\.5"):
            vg.ALittleIsEnough()(torch.zeros(n - f, 2), b=f)
        assert vg.ALittleIsEnough(z=1.5)(torch.zeros(n - f, 2), b=f).shape == (f, 2)


# MinMax and MinSum: the published search


def published(x: Array, direction: Array, allowed: Callable[[Array], bool]) -> Array:
    """Return mu + gamma p for the largest gamma allowed, by doubling and then bisection."""
    mu = mean(x)
    low, high = 0.0, 1.0
    while allowed(mu + high * direction) and high < 1e12:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(mu + middle * direction) else (low, middle)
    return mu + low * direction


def perturbation(x: Array, along: str) -> Array:
    mu = mean(x)
    return {"unit": -mu / np.linalg.norm(mu), "std": -sigma(x), "sign": -np.sign(mu)}[along]


def furthest(x: Array, most: float, v: Array) -> bool:
    """Tell whether no honest vector is further from v than two honest ones are apart."""
    return bool(((x - v) ** 2).sum(1).max() <= most)


def summed(x: Array, most: float, v: Array) -> bool:
    """Tell whether the distances to v add up to no more than those to the worst honest vector."""
    return bool(((x - v) ** 2).sum() <= most)


@pytest.mark.parametrize("along", DIRECTIONS)
@pytest.mark.parametrize("kind", ["gaussian", "far", "uneven", "pair", "wide"])
def test_min_max_and_min_sum_are_the_published_search(kind: str, along: str) -> None:
    for seed in range(4):
        x = honest(kind, seed)
        p = perturbation(x, along)
        apart = max(float(np.sum((a - b) ** 2)) for a in x for b in x)
        want = published(x, p, partial(furthest, x, apart))
        np.testing.assert_allclose(forged(vg.MinMax(along=along), x), want, rtol=1e-7, atol=1e-9)
        most = max(sum(float(np.sum((a - b) ** 2)) for b in x) for a in x)
        want = published(x, p, partial(summed, x, most))
        np.testing.assert_allclose(forged(vg.MinSum(along=along), x), want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("attack", [vg.MinMax, vg.MinSum])
@pytest.mark.parametrize("along", DIRECTIONS)
@pytest.mark.parametrize("kind", ["copies", "one"])
def test_without_a_spread_there_is_no_room(attack: Any, along: str, kind: str) -> None:
    x = honest(kind)
    np.testing.assert_allclose(forged(attack(along=along), x), x[0], rtol=1e-7)
    np.testing.assert_array_equal(forged(attack(along=along), np.zeros((3, 2))), np.zeros(2))


# Noise


def test_gaussian_moments() -> None:
    x = torch.zeros(3, 4000, dtype=torch.float64)
    got = vg.Gaussian(std=7.0)(x, b=25, stream=vg.Stream(3))
    assert abs(float(got.mean())) < 5 * 7 / math.sqrt(got.numel())
    assert float(got.std()) == pytest.approx(7.0, rel=0.01)
    assert float((got**4).mean()) == pytest.approx(3 * 7.0**4, rel=0.05)
    correlation = torch.corrcoef(got)
    assert float((correlation - torch.eye(25)).abs().max()) < 5 / math.sqrt(4000)
    assert float(vg.Gaussian()(x, b=25).std()) == pytest.approx(200.0, rel=0.01)


def test_random_has_the_length_and_every_direction() -> None:
    x = torch.from_numpy(honest("uneven"))
    got = vg.Random(scale=3.0)(x, b=4000, stream=vg.Stream(5))
    norms = got.norm(dim=-1)
    assert norms.numpy() == pytest.approx(3.0 * float(x.norm(dim=-1).mean()))
    unit = got / norms[:, None]
    assert float(unit.mean(0).abs().max()) < 5 / math.sqrt(4000 * 5)
    moments = unit.T @ unit / 4000
    torch.testing.assert_close(moments, torch.eye(5, dtype=torch.float64) / 5, atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", ["nan", "+inf", "-inf", "mix"])
def test_nonfinite_kinds(kind: str) -> None:
    got = forged(vg.NonFinite(kind=kind), honest("gaussian"))
    assert not np.isfinite(got).any()
    same = {"nan": np.isnan(got), "+inf": got == np.inf, "-inf": got == -np.inf}
    if kind == "mix":
        assert all(marked.any() for marked in same.values())
    else:
        assert same[kind].all()


IMPOSSIBLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: vg.NonFinite(kind="zero"), "kind"),
    (lambda: vg.Gaussian(std=0.0), "std"),
    (lambda: vg.Gaussian(std=math.nan), "std"),
    (lambda: vg.Random(scale=-1.0), "scale"),
    (lambda: vg.Scale(c=math.inf), "c"),
    (lambda: vg.InnerProductManipulation(epsilon=0.0), "epsilon"),
    (lambda: vg.ALittleIsEnough(sign=0), "sign"),
    (lambda: vg.ALittleIsEnough(z=math.nan), "z"),
    (lambda: vg.MinMax(along="median"), "along"),
    (lambda: vg.MinSum(along=""), "along"),
    (lambda: vg.Mimic(warmup=0), "warmup"),
    (lambda: vg.Optimal(candidates=2), "candidates"),
    (lambda: vg.Optimal(rounds=-1), "rounds"),
    (lambda: vg.HiddenVulnerability(coordinate=-1), "coordinate"),
    (lambda: vg.MalformedInput(factor=math.inf), "factor"),
]


@pytest.mark.parametrize(
    ("make", "field"), IMPOSSIBLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_impossible_fields_are_refused(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(ParameterError, match=field):
        make()
