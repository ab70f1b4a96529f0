"""The theorems: no input exceeds a rule's coefficient, and no coefficient is better than possible."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import varangian as vg
from varangian.core.stages import Stage
from varangian.testing.theorems import ratios, worst_ratio

SLACK = 1e-6
MOST_N = 9
ENUMERATING = (vg.MinimumDiameterAveraging, vg.SMEA, vg.GeometricMedian)
"""Rules whose plan costs more than a sort."""


def rules(f: int) -> list[Stage]:
    """Return every rule, and every chain behind nearest-neighbour mixing, that declares a coefficient."""
    plain: list[Stage] = [
        vg.Median(f=f),
        vg.TrimmedMean(f=f),
        vg.Krum(f=f),
        vg.GeometricMedian(f=f),
        vg.MinimumDiameterAveraging(f=f),
        vg.SMEA(f=f),
    ]
    if f == 0:
        plain.append(vg.Average())
    return plain + [vg.chain(vg.NearestNeighborMixing(f=f), rule) for rule in plain if rule.f is not None]


def slow(stage: Stage) -> bool:
    return any(isinstance(part, ENUMERATING) for part in stage.stages())


def settings_at(*above: int) -> list[tuple[Stage, int]]:
    """Return every rule at sizes above its least (of two vectors at least), and at the most."""
    return [
        (stage, n)
        for f in (0, 1, 2, 3)
        for stage in rules(f)
        for n in sorted({*(max(2, stage.condition().minimum) + k for k in above), MOST_N})
        if n <= MOST_N and stage.kappa(n) is not None
    ]


@pytest.mark.parametrize(("stage", "n"), settings_at(0), ids=repr)
def test_no_search_exceeds_the_coefficient(stage: Stage, n: int) -> None:
    kappa = stage.kappa(n)
    assert kappa is not None
    found = {
        d: worst_ratio(stage, n, d=d, starts=14 if slow(stage) else 28, steps=6 if slow(stage) else 24)
        for d in (1, 3)
    }
    d, worst = max(found.items(), key=lambda item: item[1].ratio)
    assert worst.ratio <= kappa * (1 + SLACK), (
        f"{stage!r}, n = {n}, d = {d}: ratio {worst.ratio:.6g} exceeds kappa = {kappa:.6g}\n"
        f"x = {worst.x.tolist()}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "n"), settings_at(0, 1), ids=repr)
def test_no_long_search_exceeds_the_coefficient(stage: Stage, n: int) -> None:
    kappa = stage.kappa(n)
    assert kappa is not None
    for d in (1, 2, 5):
        worst = worst_ratio(stage, n, d=d, starts=42, steps=20 if slow(stage) else 150, seed=d)
        assert worst.ratio <= kappa * (1 + SLACK), (
            f"{stage!r}: {worst.ratio} > {kappa}\nx = {worst.x.tolist()}"
        )


NUMBERS = st.floats(-1e3, 1e3, width=32) | st.sampled_from([0.0, 1.0, -1.0, 1e-3])


@st.composite
def hostile_inputs(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    """Draw f, and n vectors of which any n - f may be the honest ones."""
    f = draw(st.integers(0, 2))
    n = draw(st.integers(2 * f + 3, 8))
    d = draw(st.integers(1, 3))
    x = draw(arrays(np.float64, (n, d), elements=NUMBERS))
    far = draw(st.sampled_from([1.0, 1e3, 1e8]))
    if f:
        x[draw(st.integers(0, n - 1))] *= far
    return f, x


@settings(max_examples=30)
@given(hostile_inputs())
def test_no_drawn_input_exceeds_the_coefficient(case: tuple[int, np.ndarray]) -> None:
    f, x = case
    vectors = torch.from_numpy(x)
    for stage in rules(f):
        kappa = stage.kappa(len(x))
        assert kappa is not None
        ratio = float(ratios(stage(vectors), vectors, f))
        assert ratio <= kappa * (1 + SLACK), f"{stage!r}: ratio {ratio} exceeds kappa = {kappa}"


# The known worst cases, so that the search cannot silently become blind


def test_the_search_finds_what_is_known() -> None:
    """Half the line at 0 and the liars at 1 leave a median at 1: the ratio f of n = 2f + 1."""
    for f in (1, 2, 3):
        x = torch.zeros(2 * f + 1, 1, dtype=torch.float64)
        x[f:] = 1.0
        assert float(ratios(vg.Median(f=f)(x), x, f)) == pytest.approx(f)
        assert worst_ratio(vg.Median(f=f), 2 * f + 1, d=1, starts=42, steps=60).ratio >= 0.9 * f


def test_the_search_breaks_a_mean_that_claims_robustness() -> None:
    class Boastful(vg.Average):
        pass

    assert worst_ratio(Boastful(f=1), 5).ratio > 1e6


def test_ratios_against_the_definition() -> None:
    rng = np.random.default_rng(0)
    for f, n in ((0, 3), (1, 4), (2, 6)):
        x, output = rng.standard_normal((n, 3)), rng.standard_normal(3)
        want = max(
            np.sum((output - x[list(s)].mean(0)) ** 2)
            / np.mean(np.sum((x[list(s)] - x[list(s)].mean(0)) ** 2, 1))
            for s in itertools.combinations(range(n), n - f)
        )
        assert float(ratios(torch.from_numpy(output), torch.from_numpy(x), f)) == pytest.approx(
            want, rel=1e-12
        )


# What a coefficient and a bound may be


def every_rule(f: int) -> list[Any]:
    made = [kind(f=f, radius=1.0) if kind is vg.CenteredClipping else kind(f=f) for kind in vg.RULES]  # type: ignore[call-arg]
    return made + rules(f)


@pytest.mark.parametrize("f", range(7))
def test_no_coefficient_beats_the_lower_bound(f: int) -> None:
    for stage in every_rule(f):
        for n in range(stage.condition().minimum, stage.condition().minimum + 60):
            kappa = stage.kappa(n)
            if kappa is not None:
                assert n > 2 * f
                assert kappa >= f / (n - 2 * f) * (1 - 1e-12), f"{stage!r}: kappa({n}) = {kappa}"
                assert math.isfinite(kappa)


def test_who_declares_a_coefficient() -> None:
    declared = {type(stage).__name__ for stage in every_rule(2) if stage.kappa(20) is not None}
    assert declared == {
        "Median",
        "TrimmedMean",
        "Krum",
        "MinimumDiameterAveraging",
        "GeometricMedian",
        "SMEA",
        "Chain",
    }
    assert vg.Average().kappa(5) == 0
    assert vg.GeometricMedian(f=1, nu=0.1).kappa(5) is None
    assert vg.Krum(f=1, neighbours=1).kappa(9) is None
    assert vg.Krum(f=1, as_released=True).kappa(9) is None
    assert vg.Median(f=1, as_released=True).kappa(9) in (None, vg.Median(f=1).kappa(9))
    assert vg.chain(vg.Bucketing(f=1), vg.Median(f=1)).kappa(9) is None


@pytest.mark.parametrize("f", range(7))
def test_variance_bounds_are_positive_and_fall_with_f(f: int) -> None:
    for stage, more in zip(every_rule(f), every_rule(f + 1), strict=False):
        for n in range(stage.condition().minimum, stage.condition().minimum + 40):
            bound = stage.variance_bound(n, 100)
            if bound is None:
                continue
            assert bound > 0
            endless = isinstance(stage, vg.MinimumDiameterAveraging) and f == 0
            assert math.isinf(bound) == endless
            if type(more) is type(stage) and more.condition().holds(n) and not slides(stage):
                assert more.variance_bound(n, 100) <= bound * (1 + 1e-12)


def slides(stage: Stage) -> bool:
    """Tell whether the published bound falls with n - f alone, and so rises with f."""
    return isinstance(stage, (vg.Median, vg.MeanAroundMedian))


# NaN, infinity and the honest hull


HULL = [vg.Median(f=2), vg.TrimmedMean(f=2)]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_hostile_values_stay_within_the_honest_hull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((7, 5)).astype(np.float32)
    liars = rng.permutation(7)[:2]
    poison = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0], dtype=np.float32)
    x[liars] = rng.choice(poison, (2, 5))
    honest = np.delete(x, liars, axis=0)
    for rule in HULL:
        got = rule(torch.from_numpy(x)).numpy()
        assert (got >= honest.min(0)).all(), rule
        assert (got <= honest.max(0)).all(), rule


@pytest.mark.parametrize("f", [1, 2])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_every_rule_answers_f_rows_that_are_not_finite(f: int, poison: float) -> None:
    for kind in vg.RULES:
        stage = kind(f=f, radius=1.0) if kind is vg.CenteredClipping else kind(f=f)  # type: ignore[call-arg]
        if not all(part.robust for part in stage.stages()):
            continue
        n = stage.condition().minimum + 3
        x = torch.randn(n, 6, generator=torch.Generator().manual_seed(f))
        x[-f:] = poison
        needs = any(pivot.name == "GIVEN" for part in stage.stages() for pivot in part.pivots)
        seen = stage.aggregate(x, **({"pivot": x[0].clone()} if needs else {}))
        assert seen.value.isfinite().all(), stage
        assert float(seen.value.abs().max()) <= float(x[:-f].norm(dim=-1).max()) + 1, stage
        assert seen.suspects.tolist() == [False] * (n - f) + [True] * f


def test_a_mean_lets_nan_through_and_still_names_the_sender() -> None:
    x = torch.zeros(3, 2)
    x[1, 0] = torch.nan
    seen = vg.Average().aggregate(x)
    assert seen.value[0].isnan()
    assert seen.suspects.tolist() == [False, True, False]
