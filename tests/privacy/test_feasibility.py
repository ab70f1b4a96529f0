"""The conditions asked before training: the derivation against the published closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from varangian.aggregators import (
    Average,
    Bulyan,
    CenteredClipping,
    GeometricMedian,
    Krum,
    MeanAroundMedian,
    Median,
    MinimumDiameterAveraging,
    MultiBulyan,
    MultiKrum,
    Phocas,
    TrimmedMean,
)
from varangian.core.chain import chain
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import ParameterError, ToleranceError
from varangian.mixers import NearestNeighborMixing
from varangian.privacy import Privacy, feasible, noise

Closed = Callable[[int, int, int, float], float]


def budget(privacy: Privacy) -> float:
    """Return C = epsilon / sqrt(ln(1.25 / delta))."""
    return privacy.epsilon / math.sqrt(math.log(1.25 / privacy.delta))


def trimmed(n: int, f: int, d: int, c: float) -> float:
    """Return the least b with f/n <= C^2 b^2 / (16 d + 2 C^2 b^2)."""
    return math.sqrt(16 * d * f / (n - 2 * f)) / c


CLOSED: dict[type[Stage], Closed] = {
    MinimumDiameterAveraging: lambda n, f, d, c: 8 * math.sqrt(d) * f / ((n - f) * c),
    Krum: lambda n, f, d, c: math.sqrt(16 * d * (n + f**2)) / c,
    MultiKrum: lambda n, f, d, c: math.sqrt(16 * d * (n + f**2)) / c,
    Bulyan: lambda n, f, d, c: math.sqrt(16 * d * (n + f**2)) / c,
    MultiBulyan: lambda n, f, d, c: math.sqrt(16 * d * (n + f**2)) / c,
    Median: lambda n, f, d, c: math.sqrt(4 * d * (n + 1)) / c,
    MeanAroundMedian: lambda n, f, d, c: math.sqrt(40 * d * (n + 1)) / c,
    TrimmedMean: trimmed,
    Phocas: trimmed,
}
"""The published conditions, as the least batch that they allow."""
EQUAL = 1e-9


def derived(kind: type[Stage], n: int, f: int, d: int, privacy: Privacy) -> float:
    """Return the least batch that the derivation allows, not rounded."""
    verdict = feasible(kind(f=f), privacy, n=n, d=d, batch_size=1)  # type: ignore[call-arg]
    assert verdict.bound is not None
    return verdict.ratio / verdict.bound


@pytest.mark.parametrize("kind", CLOSED, ids=lambda kind: kind.__name__)
@given(st.integers(0, 12), st.integers(0, 9), st.integers(1, 10**7), st.floats(0.01, 0.99))
def test_published_conditions_follow_from_the_variance_bounds(
    kind: type[Stage], f: int, more: int, d: int, epsilon: float
) -> None:
    privacy = Privacy(epsilon=epsilon, norm=0.3)
    n = kind(f=f).condition().minimum + more  # type: ignore[call-arg]
    published = CLOSED[kind](n, f, d, budget(privacy))
    ours = derived(kind, n, f, d, privacy)
    assert ours >= published * (1 - EQUAL), "The derivation would call feasible what the paper excludes."
    if kind is MinimumDiameterAveraging:
        assert ours == pytest.approx(published, rel=EQUAL)
    if kind in (Krum, MultiKrum, Bulyan, MultiBulyan) and f == 0:
        assert ours == pytest.approx(published, rel=EQUAL)
    if kind in (Median, MeanAroundMedian) and n == 2 * f + 1:
        assert ours == pytest.approx(published, rel=EQUAL)


RULES: tuple[Stage, ...] = (
    *(kind(f=2) for kind in CLOSED),  # type: ignore[call-arg]
    GeometricMedian(f=2),
    chain(NearestNeighborMixing(f=2), TrimmedMean(f=2)),
)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_smallest_batch_is_the_smallest(rule: Stage, momentum: float) -> None:
    privacy = Privacy(epsilon=0.2, norm=0.01)

    def holds(batch: int) -> bool:
        return feasible(rule, privacy, n=15, d=69, batch_size=batch, momentum=momentum).holds

    verdict = feasible(rule, privacy, n=15, d=69, batch_size=1, momentum=momentum)
    assert not verdict
    least = verdict.smallest_batch
    assert least is not None
    assert holds(least)
    assert least == 1 or not holds(least - 1)
    assert f"at least {least}" in verdict.message
    assert repr(rule) in verdict.message


def test_ratio_is_that_of_noisy_gradients() -> None:
    privacy, d, b = Privacy(epsilon=0.5, norm=2.0), 500, 25
    longest = torch.zeros(d, dtype=torch.float64)
    longest[3] = privacy.norm
    sent = [longest + noise(privacy, b, d, Stream(worker), torch.float64) for worker in range(400)]
    vectors = torch.stack(sent)
    deviation = (vectors - longest).square().sum(-1).mean().sqrt()
    told = feasible(Median(f=1), privacy, n=400, d=d, batch_size=b)
    assert float(deviation / privacy.norm) == pytest.approx(told.ratio, rel=0.01)


def test_momentum_of_the_workers_averages_noise() -> None:
    mu, privacy, d, b = 0.9, Privacy(epsilon=0.5, norm=2.0), 2000, 25
    longest = torch.full((d,), privacy.norm / math.sqrt(d), dtype=torch.float64)
    ratios = []
    for worker in range(20):
        memory = torch.zeros(d, dtype=torch.float64)
        mean = 0.0
        for step in range(200):
            drawn = noise(privacy, b, d, Stream(worker).at("noise", step=step), torch.float64)
            memory = mu * memory + longest + drawn
            mean = mu * mean + privacy.norm
        ratios.append(float((memory - mean / privacy.norm * longest).norm()) / mean)
    told = feasible(Median(f=1), privacy, n=20, d=d, batch_size=b, momentum=mu)
    assert sum(ratios) / len(ratios) == pytest.approx(told.ratio, rel=0.02)
    assert told.ratio < feasible(Median(f=1), privacy, n=20, d=d, batch_size=b).ratio / 4


@pytest.mark.parametrize("rule", [Average(f=2), CenteredClipping(f=2, radius=1.0)], ids=repr)
def test_a_rule_without_theorem_is_not_called_safe(rule: Stage) -> None:
    verdict = feasible(rule, Privacy(epsilon=0.2, norm=0.01), n=9, d=10, batch_size=10**6)
    assert not verdict
    assert verdict.bound is None
    assert "proves nothing" in str(verdict)


def test_without_liars_to_withstand_any_batch_will_do() -> None:
    verdict = feasible(TrimmedMean(f=0), Privacy(epsilon=0.2, norm=0.01), n=9, d=1, batch_size=10**4)
    assert verdict
    verdict = feasible(
        MinimumDiameterAveraging(f=0), Privacy(epsilon=0.2, norm=0.01), n=9, d=10**6, batch_size=1
    )
    assert verdict
    assert verdict.smallest_batch == 1
    assert "no liar" in str(verdict)


def test_impossible_questions_are_refused() -> None:
    privacy = Privacy(epsilon=0.2, norm=0.01)
    with pytest.raises(ToleranceError, match="n >= 2f"):
        feasible(Median(f=5), privacy, n=10, d=3, batch_size=5)
    for fields in ({"n": 0}, {"d": 0}, {"batch_size": 0}, {"momentum": 1.0}, {"momentum": -0.1}):
        with pytest.raises(ParameterError):
            feasible(Median(f=1), privacy, **{"n": 9, "d": 3, "batch_size": 5, **fields})  # type: ignore[arg-type]
