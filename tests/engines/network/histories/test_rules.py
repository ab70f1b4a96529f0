"""The rules of the histories are those of the library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import varangian as vg
from varangian.core.stages import Stage
from varangian.engines.network.histories import rules
from varangian.engines.roles import rule
from varangian.protocols import Body, Reducer

PAIRS: dict[str, tuple[Reducer, Stage]] = {
    "mean": (rules.mean, vg.Average()),
    "median": (rules.median, vg.Median(f=2)),
    "trimmed mean": (lambda vectors: rules.trimmed_mean(vectors, 2), vg.TrimmedMean(f=2)),
    "least diameter": (
        lambda vectors: rules.least_diameter_mean(vectors, 2),
        vg.MinimumDiameterAveraging(f=2),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@given(n=st.integers(5, 9), d=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_rule_is_the_librarys(name: str, n: int, d: int, seed: int) -> None:
    ours, theirs = PAIRS[name]
    vectors = list(np.random.default_rng(seed).standard_normal((n, d)))
    np.testing.assert_allclose(ours(vectors), rule(theirs)(vectors), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["median", "trimmed mean", "least diameter"])
@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_does_not_get_through(name: str, lie: float) -> None:
    ours, theirs = PAIRS[name]
    vectors: list[Body] = [np.array([k, -k], np.float64) for k in range(7)]
    vectors[1:3] = [np.array([lie, 0.0]), np.array([0.0, lie])]
    truths = np.stack([vectors[0], *vectors[3:]])
    for one in (ours, rule(theirs)):
        value = one(vectors)
        assert ((truths.min(axis=0) <= value) & (value <= truths.max(axis=0))).all()
    assert np.isnan(vectors[1]).any() == np.isnan(lie)
