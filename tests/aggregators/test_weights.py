"""Weights of the parties: equal ones change nothing, boasts are capped, a heavy minority decides nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import varangian as vg
from varangian.core.parties import cap_shares, weigh
from varangian.core.stages import Stage

N, F = 9, 2
SHARES = torch.tensor([0.52, 0.006, 0.1, 0.1, 0.08, 0.07, 0.06, 0.064], dtype=torch.float64)
"""Eight sites of a real consortium's spread: the largest holds 52 %, the smallest 0.6 %."""

HONOURING: list[Stage] = [
    vg.Average(f=F),
    vg.TrimmedMean(f=F),
    vg.GeometricMedian(f=F),
    vg.GeometricMedian(f=F, nu=0.1, steps=8),
    vg.CenteredClipping(f=F, radius=1.0, steps=2),
    vg.Clipping(radius=1.0, f=F),
    vg.AdaptiveClipping(f=F),
    vg.chain(vg.AdaptiveClipping(f=F), vg.Average(f=F)),
    vg.chain(vg.Clipping(radius=1.0, f=F), vg.TrimmedMean(f=F)),
]


def vectors(n: int = N, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5


@pytest.mark.parametrize("stage", HONOURING, ids=repr)
@pytest.mark.parametrize("weight", [1.0, 1e-300, 1e300])
def test_equal_weights_change_nothing(stage: Any, weight: float) -> None:
    x = vectors()
    assert torch.allclose(stage(x, weights=[weight] * N), stage(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, torch.tensor], ids=["list", "tuple", "numpy", "torch"]
)
def test_weights_of_any_kind(kind: Any) -> None:
    numbers = [1, 2, 3, 2, 1, 1, 1, 1, 2]
    x = vectors()
    want = (x * torch.tensor(numbers)[:, None]).sum(0) / sum(numbers)
    assert torch.allclose(vg.Average()(x, weights=kind(numbers)), want)


@pytest.mark.parametrize("stage", HONOURING, ids=repr)
def test_scaling_all_weights_changes_nothing(stage: Any) -> None:
    x, weights = vectors(), np.linspace(1.0, 2.0, N)
    one, other = stage(x, weights=weights, mass=0.3), stage(x, weights=weights * 1e6, mass=0.3)
    assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stage", [s for s in HONOURING if not s.stages()[-1].mixes], ids=repr)
def test_the_parties_travel_with_their_vectors(stage: Any) -> None:
    x, weights = vectors(), torch.linspace(1, 2, N, dtype=torch.float64)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    one = stage(x, weights=weights, mass=0.3)
    assert torch.allclose(stage(x[order], weights=weights[order], mass=0.3), one, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stage", [s for s in HONOURING if not s.stages()[-1].mixes], ids=repr)
def test_a_party_of_no_weight_does_not_matter(stage: Any) -> None:
    x = vectors()
    weights = [1.0] * (N - 1) + [0.0]
    y = x.clone()
    y[-1] += 3.0
    assert torch.allclose(
        stage(x, weights=weights, mass=0.3), stage(y, weights=weights, mass=0.3), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("stage", [vg.TrimmedMean(f=1), vg.GeometricMedian(f=1)], ids=repr)
@pytest.mark.parametrize("liar", range(8))
def test_a_site_below_one_half_cannot_carry_the_result_away(stage: Any, liar: int) -> None:
    x = vectors(8)
    capped = cap_shares(SHARES, 0.3)
    x[liar] = 1e12
    got = stage(x, weights=SHARES, cap=0.3, mass=float(capped[liar]))
    assert float(got.norm()) < 100


@pytest.mark.parametrize("liar", range(1, 8))
def test_adaptive_clipping_keeps_a_weighted_mean_in_place(liar: int) -> None:
    x = vectors(8)
    x[liar] = -1e12
    rule = vg.chain(vg.AdaptiveClipping(f=1), vg.Average(f=1))
    got = rule(x, weights=SHARES, mass=float(SHARES[liar]) + 1e-9)
    honest = torch.cat([x[:liar], x[liar + 1 :]]).norm(dim=-1).max()
    assert float(got.norm()) <= float(honest)


@pytest.mark.parametrize("cap", [0.13, 0.2, 0.35, 0.5, 1.0])
def test_a_cap_is_respected_and_shares_stay_shares(cap: float) -> None:
    capped = cap_shares(SHARES, cap)
    assert float(capped.sum()) == pytest.approx(1.0, abs=1e-12)
    assert float(capped.max()) <= cap * (1 + 1e-9)
    assert (capped.diff() * SHARES.diff() >= -1e-12).all(), "a larger party must not get less"


def test_a_boast_is_worth_the_cap() -> None:
    x = vectors()
    boast = [1.0] * (N - 1) + [1e12]
    seen = vg.Average().aggregate(x, weights=boast, cap=0.2, mass=0.2)
    assert seen.weights is not None
    assert float(seen.weights[-1]) == pytest.approx(0.2)


def test_the_default_mass_is_that_of_the_f_largest() -> None:
    assert weigh([4, 3, 2, 1, 1, 1], 6, 1).mass == pytest.approx(4 / 12)
    assert weigh([1] * 6, 6, 2).mass == pytest.approx(2 / 6)
    assert weigh([1] * 6, 6, 0).mass == 0


def test_weights_of_a_batch_hold_for_every_problem() -> None:
    x, weights = torch.stack([vectors(seed=1), vectors(seed=2)]), np.linspace(1, 2, N)
    for stage in HONOURING:
        if not stage.stages()[-1].mixes:
            whole = stage(x, weights=weights, mass=0.3)
            for k in range(2):
                assert torch.allclose(
                    whole[k], stage(x[k], weights=weights, mass=0.3), rtol=1e-8, atol=1e-9
                ), stage
