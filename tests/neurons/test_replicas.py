"""The certificate: a median is wrong less often than certified, whatever wrong copies do."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from varangian.errors import ParameterError
from varangian.neurons import certify, certify_measured, replicas_for
from varangian.neurons.replicas import at_most, tail

TRIALS = 60_000


@given(st.integers(1, 40), st.integers(0, 41), st.fractions(0, 1))
def test_the_tail_is_the_sum_of_the_binomial(n: int, count: int, p: Fraction) -> None:
    exact = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count, n + 1))
    assert tail(count, n, float(p)) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)


def test_published_numbers() -> None:
    assert certify(1 / 3, 20).certified == pytest.approx(0.0919, abs=1e-4)
    assert replicas_for(1 / 3, 1e-5).replicas == 155
    assert certify(1 / 3, 153).certified > 1e-5 >= certify(1 / 3, 155).certified


@given(st.floats(0.0, 0.45), st.floats(1e-9, 0.5))
def test_it_is_the_fewest(failure: float, target: float) -> None:
    found = replicas_for(failure, target)
    assert found.certified <= target
    assert found.replicas == 1 or certify(failure, found.replicas - 2).certified > target


@pytest.mark.parametrize("planted", [0.01, 0.1, 0.2, 1 / 3, 0.4])
@pytest.mark.parametrize("how", ["all up", "either way"])
@pytest.mark.parametrize("seed", [1, 2])
def test_planted_failures_stay_below_the_certificate(planted: float, how: str, seed: int) -> None:
    """Each copy is measured first; where all wrong copies lie in one direction, the certificate is exact.

    Copies are then measured often enough that what is added for doubt outweighs the scatter of this test.
    """
    generator = torch.Generator().manual_seed(seed)

    def copies(*shape: int) -> torch.Tensor:
        wrong = torch.rand(*shape, generator=generator) < planted
        sign = torch.where(torch.rand(*shape, generator=generator) < 0.5, 1.0, -1.0)
        lies = torch.full(shape, 9.0) if how == "all up" else 9.0 * sign
        return torch.where(wrong, lies, 0.1 * sign)

    promised = certify_measured(copies(2000).abs(), epsilon=1.0, target=0.02)
    assert promised.failure >= planted
    failed = 0
    for some in torch.full((TRIALS,), 0.0).split(20_000):
        medians = copies(len(some), promised.replicas).median(dim=1).values
        failed += int((medians.abs() > 1.0).sum())
    assert promised.certified <= 0.02
    assert failed / TRIALS < promised.certified


@given(st.integers(0, 30), st.integers(1, 30))
def test_a_rate_is_at_most_that_at_which_it_would_be_a_surprise(failures: int, more: int) -> None:
    of = failures + more
    most = at_most(failures, of, 0.01)
    assert failures / of <= most <= 1
    assert 1 - tail(failures + 1, of, most) == pytest.approx(0.01, rel=1e-6)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="cannot outvote"):
        replicas_for(0.5, 1e-3)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        replicas_for(0.1, 0.0)
    with pytest.raises(ParameterError, match="at least 1"):
        certify(0.1, 0)
    with pytest.raises(ParameterError, match="More than"):
        replicas_for(0.4999, 1e-9)
    with pytest.raises(ParameterError, match="at least one trial"):
        at_most(0, 0)
