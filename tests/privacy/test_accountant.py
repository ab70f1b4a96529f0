"""What a run costs: closed forms, a theorem in exact arithmetic, and what must grow with what."""

from __future__ import annotations

import math
import subprocess
import sys

import mpmath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from varangian.errors import ParameterError
from varangian.privacy import Privacy, calibrate, spent
from varangian.privacy.subsampling import ORDERS, library, rounding

PRIVACY = Privacy(epsilon=0.2, norm=0.01)


def gaussian_delta(multiplier: float, epsilon: float) -> float:
    """Return the delta of the Gaussian mechanism: Balle and Wang, ICML 2018, Theorem 8."""
    half = 1 / (2 * multiplier)
    shift = epsilon * multiplier
    return float(norm.cdf(half - shift) - math.exp(epsilon) * norm.cdf(-half - shift))


@pytest.mark.parametrize("steps", [1, 10, 1000])
@pytest.mark.parametrize("epsilon", [0.05, 0.2, 0.9, 4.0])
def test_without_assumptions_it_is_the_exact_gaussian(epsilon: float, steps: int) -> None:
    privacy = Privacy(epsilon=epsilon, norm=3.0)
    cost = spent(privacy, steps=steps)
    composed = privacy.multiplier / math.sqrt(steps)
    assert gaussian_delta(composed, cost) == pytest.approx(privacy.delta, rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.5, 0.99])
def test_one_step_costs_what_it_declares_or_less(epsilon: float) -> None:
    assert spent(Privacy(epsilon=epsilon, norm=1.0), steps=1) <= epsilon


@pytest.mark.parametrize("sampling", [{}, {"batch_size": 20, "samples": 763}])
def test_cost_grows_with_steps_epsilon_and_holders(sampling: dict[str, int]) -> None:
    by_steps = [spent(PRIVACY, steps=steps, **sampling) for steps in (1, 10, 100, 1000, 10_000)]
    assert by_steps == sorted(by_steps)
    assert by_steps[0] < by_steps[-1]
    by_epsilon = [
        spent(Privacy(epsilon=e, norm=0.01), steps=100, **sampling) for e in (0.05, 0.1, 0.2, 0.5, 0.9)
    ]
    assert by_epsilon == sorted(by_epsilon)
    assert spent(PRIVACY, steps=100, holders=11, **sampling) == spent(PRIVACY, steps=1100, **sampling)
    assert spent(PRIVACY, steps=100, delta=1e-9, **sampling) > spent(PRIVACY, steps=100, **sampling)


def test_cost_falls_with_smaller_shares_of_the_data() -> None:
    whole = spent(PRIVACY, steps=500)
    costs = [spent(PRIVACY, steps=500, batch_size=b, samples=1000) for b in (1, 10, 50, 200, 600, 1000)]
    assert costs == sorted(costs)
    assert costs[0] < whole / 10
    assert costs[-1] == whole


def sampled_renyi(q: float, multiplier: float, order: int) -> mpmath.mpf:
    """Return the bound of Wang et al. (AISTATS 2019, Theorem 27), without rounding."""

    def exponential(x: int) -> mpmath.mpf:
        return mpmath.exp(mpmath.mpf(x * (x - 1)) / (2 * mpmath.mpf(multiplier) ** 2))

    def difference(j: int) -> mpmath.mpf:
        return abs(mpmath.fsum((-1) ** i * mpmath.binomial(j, i) * exponential(i) for i in range(j + 1)))

    total = mpmath.mpf(1)
    for j in range(2, order + 1):
        if j == 2:
            term = min(4 * (exponential(2) - 1), 2 * exponential(2))
        else:
            pair = difference(2 * (j // 2)) * difference(2 * ((j + 1) // 2))
            term = min(4 * mpmath.sqrt(pair), 2 * exponential(j))
        total += mpmath.mpf(q) ** j * mpmath.binomial(order, j) * term
    return mpmath.log(total) / (order - 1)


@settings(max_examples=60)
@example(math.log10(0.964614), math.log10(9.383170577794859), 32)
@given(
    st.floats(-3.0, -0.01),
    st.floats(-0.3, 3.5),
    st.sampled_from([o for o in ORDERS if 2 <= o <= 32 and o == int(o)]),
)
def test_rounding_never_makes_the_cost_too_small(log_q: float, log_multiplier: float, order: int) -> None:
    samples = 10**6
    q, multiplier = round(10**log_q * samples) / samples, 10**log_multiplier
    lost = rounding(q, multiplier, order)
    accounting = library()
    accountant = accounting.rdp.RdpAccountant([order], accounting.NeighboringRelation.REPLACE_ONE)
    event = accounting.SampledWithoutReplacementDpEvent(
        samples, round(q * samples), accounting.GaussianDpEvent(multiplier)
    )
    steps = 1000
    accountant.compose(event, steps)
    delta = 1e-6
    told = accountant.get_epsilon(delta) + steps * lost / (order - 1)
    with mpmath.workdps(120):
        renyi = steps * sampled_renyi(q, multiplier, order)
        true = renyi + mpmath.log1p(-mpmath.mpf(1) / order) - mpmath.log(delta * order) / (order - 1)
        kl_is_small = delta**2 + mpmath.expm1(-renyi) > 0
    assert kl_is_small or told >= float(true) * (1 - 1e-12)


def test_rounding_is_small_where_it_matters() -> None:
    assert rounding(10 / 763, 26.5, 64) < 1e-10
    assert rounding(0.9, 9.0, 64) > 1


@pytest.mark.parametrize("sampling", [{}, {"batch_size": 20, "samples": 763}])
@pytest.mark.parametrize("budget", [0.5, 3.0, 20.0])
def test_calibrated_noise_keeps_to_the_budget_and_wastes_little(
    budget: float, sampling: dict[str, int]
) -> None:
    privacy = calibrate(budget, norm=0.01, steps=300, **sampling)
    cost = spent(privacy, steps=300, **sampling)
    assert 0.995 * budget <= cost <= budget
    assert privacy.norm == 0.01
    assert privacy.clip == "sample"


def test_clipping_of_the_mean_is_not_accounted_for() -> None:
    with pytest.raises(ParameterError, match="clip='sample'"):
        spent(Privacy(0.2, 0.01, clip="batch"), steps=1)


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(ParameterError, match="more than the 20 samples"):
        spent(PRIVACY, steps=1, batch_size=21, samples=20)
    with pytest.raises(ParameterError, match="pass both or neither"):
        spent(PRIVACY, steps=1, samples=20)
    with pytest.raises(ParameterError, match="steps must be at least 1"):
        spent(PRIVACY, steps=0)
    with pytest.raises(ParameterError, match="holders must be at least 1"):
        spent(PRIVACY, steps=1, holders=0)
    with pytest.raises(ParameterError, match="must be below 1"):
        spent(PRIVACY, steps=1, delta=1.0)
    with pytest.raises(ParameterError, match="epsilon must be above 0"):
        calibrate(0.0, norm=1.0, steps=1)


def test_a_missing_library_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['dp_accounting'] = None\n"
        "from varangian.privacy import Privacy, spent\n"
        "spent(Privacy(0.2, 0.01), steps=1)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "pip install 'varangian[privacy]'" in done.stderr
