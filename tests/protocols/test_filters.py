"""The two filters reject what is far, and keep believing what is near."""

from __future__ import annotations

import math

import numpy as np
import pytest

from varangian.protocols.filters import REMEMBERED, Lipschitz, outlier_bound


def test_a_rate_beyond_the_usual_is_rejected() -> None:
    usual = Lipschitz(0.8)
    assert all(usual.accepts(1.0, 1.0) for _ in range(10))
    assert not usual.accepts(5.0, 1.0)
    assert not usual.accepts(1.0, 0.0)
    assert not usual.accepts(math.nan, 1.0)
    assert usual.accepts(0.0, 0.0)
    assert usual.accepts(1.0, 1.0)


def test_liars_cannot_widen_the_filter() -> None:
    """One answer in five is a lie: the bound stays that of the honest."""
    usual = Lipschitz(4 / 5)
    believed = [usual.accepts(1e9 if turn % 6 == 5 else 1.0, 1.0) for turn in range(300)]
    assert believed == [turn % 6 != 5 for turn in range(300)]
    assert len(usual.past) == REMEMBERED


def test_the_honest_are_not_rejected_for_ever() -> None:
    """Of rates that wander, as many are believed as the share says."""
    usual, rates = Lipschitz(0.8), np.random.default_rng(1).gamma(2.0, size=2000)
    assert np.mean([usual.accepts(rate, 1.0) for rate in rates.tolist()]) > 0.75
    assert all(Lipschitz(0.8).accepts(1.0, 1.0) for _ in range(5))
    grown = Lipschitz(0.8)
    believed = [grown.accepts(1.0 if turn < 100 else 2.0, 1.0) for turn in range(200)]
    assert all(believed[150:]), "the world has changed, and the filter with it"


@pytest.mark.parametrize("step", [2, 3, 11])
def test_the_bound_of_the_paper(step: int) -> None:
    gather, workers, f = 10, 8, 2
    expected = 0.1 * 3.0 * ((3 * gather + 2) * (workers - f) / (4 * f) + 2 * ((step - 2) % gather))
    assert outlier_bound(0.1, 3.0, step, gather, workers, f) == pytest.approx(expected)
    assert outlier_bound(0.1, 3.0, step, gather, workers, 0) == math.inf
