"""Deviations told in distance space are those of the rule itself, and the honest vectors are hardly read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.attacks.attack import Scene
from varangian.attacks.sightline import Sightline
from varangian.core.needs import Pivot
from varangian.kernels.rows import Rows

F, H = 2, 9
SLOW = (vg.SMEA,)
"""Searches: tried alone, not behind every mixer."""
ALONE: list[vg.Stage] = [
    vg.Average(),
    vg.Median(f=F),
    vg.TrimmedMean(f=F),
    vg.MeanAroundMedian(f=F),
    vg.Phocas(f=F),
    vg.Krum(f=F),
    vg.MultiKrum(f=F),
    vg.MinimumDiameterAveraging(f=F),
    vg.GeometricMedian(f=F),
    vg.GeometricMedian(f=F, nu=0.1, steps=8),
    vg.CenteredClipping(f=F, radius=2.0, steps=3),
    vg.CAF(f=F),
    vg.SMEA(f=F),
    vg.Bulyan(f=F),
    vg.MultiBulyan(f=F),
    vg.Aksel(f=F),
    vg.DnC(f=F, coordinates=5),
    vg.FLTrust(),
    vg.MoNNA(f=F),
    vg.ComparativeGradientElimination(f=F),
    vg.Condense(f=F),
    vg.SignMajority(f=F),
]
MIXERS: list[vg.Mixer] = [
    vg.NearestNeighborMixing(f=F),
    vg.AdaptiveClipping(f=F),
    vg.Bucketing(f=F, s=1),
    vg.Clipping(radius=3.0, f=F),
]
TIED = {
    (vg.AdaptiveClipping, vg.ComparativeGradientElimination),
    (vg.NearestNeighborMixing, vg.MinimumDiameterAveraging),
}
"""Pairs whose second stage chooses among vectors that the first made equal: there, rounding chooses."""
FEW = (vg.Median, vg.Krum, vg.GeometricMedian, vg.CenteredClipping, vg.Bulyan, vg.FLTrust)
CHAINS: list[vg.Stage] = [
    *(
        vg.chain(mixer, rule)
        for mixer in MIXERS[:2]
        for rule in ALONE
        if (type(mixer), type(rule)) not in TIED and not isinstance(rule, SLOW)
    ),
    *(vg.chain(mixer, rule) for mixer in MIXERS[2:] for rule in ALONE if isinstance(rule, FEW)),
    vg.chain(vg.Bucketing(f=F, s=2), vg.Median(f=F)),
    vg.chain(vg.AdaptiveClipping(f=F), vg.NearestNeighborMixing(f=F), vg.TrimmedMean(f=F)),
    vg.chain(vg.Bucketing(f=F, s=1), vg.NearestNeighborMixing(f=F), vg.Krum(f=F)),
]
ROUNDS = (("plain", 3), ("close", 20), ("uneven", 60))
NEAR, FAR = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 30.0), (0.0, 1e3, 1e6)
"""Factors, in units of the honest spread; those far away, where distances lose precision, apart."""


def honest(kind: str, d: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(H, d, generator=generator, dtype=torch.float64) + 0.5
    if kind == "close":
        return 50 + 1e-3 * x
    return x * torch.logspace(-1, 1, H, dtype=torch.float64)[:, None] if kind == "uneven" else x


def options(rule: vg.Stage, x: Tensor, seed: int) -> dict[str, Any]:
    """Return what the server passes along: a stream, and the pivots that the rule needs."""
    generator = torch.Generator().manual_seed(seed + 99)
    pivots = {pivot for stage in rule.stages() for pivot in stage.pivots}
    near = x.mean(0) + 0.3 * x.std() * torch.randn(x.shape[-1], generator=generator, dtype=x.dtype)
    given: dict[str, Any] = {"stream": vg.Stream(seed)}
    if Pivot.GIVEN in pivots:
        given["pivot"] = near
    if Pivot.CARRIED in pivots:
        given["state"] = near
    return given


def sightline(rule: vg.Stage, x: Tensor, given: dict[str, Any]) -> tuple[Sightline, Tensor, Tensor, Tensor]:
    scene = Scene(x, F, rule, vg.Stream(), None, given)
    mu, direction = scene.mean, -scene.deviation
    line = Sightline(scene, rule, mu, direction)
    return line, mu, direction, line.reach()


def real(rule: vg.Stage, x: Tensor, mu: Tensor, forged: Tensor, given: dict[str, Any]) -> float:
    """Return the squared deviation that the rule itself shows."""
    result: Tensor = rule(torch.cat([x, forged.expand(F, -1)]), **given)
    return float((result - mu).square().sum())


@pytest.mark.parametrize("rule", [*ALONE, *CHAINS], ids=repr)
def test_deviations_are_those_of_the_rule(rule: vg.Stage) -> None:
    for seed, (kind, d) in enumerate(ROUNDS[1:] if rule in CHAINS else ROUNDS):
        x = honest(kind, d, seed)
        given = options(rule, x, seed)
        line, mu, direction, unit = sightline(rule, x, given)
        least = 1e-9 * float((x - mu).square().sum(-1).mean())
        for group in (NEAR, FAR):
            factors = unit * torch.tensor(group, dtype=torch.float64)
            shown = [real(rule, x, mu, mu + factor * direction, given) for factor in factors]
            for factor, one, two in zip(group, line.deviations(factors).tolist(), shown, strict=True):
                assert abs(one - two) <= 1e-6 * (two + least), f"{kind}, d = {d}, factor {factor}"


@pytest.mark.parametrize("rule", [ALONE[5], ALONE[1], CHAINS[1], CHAINS[5], ALONE[8]], ids=repr)
def test_one_factor_at_a_time_or_all_at_once(rule: vg.Stage) -> None:
    x = honest("plain", 12, 1)
    line, *_, unit = sightline(rule, x, options(rule, x, 1))
    factors = unit * torch.tensor(NEAR, dtype=torch.float64)
    together = line.deviations(factors)
    alone = torch.cat([line.deviations(factor[None]) for factor in factors])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rule", [ALONE[1], ALONE[5], CHAINS[1]], ids=repr)
def test_shorter_numbers_lose_nothing(rule: vg.Stage, dtype: torch.dtype) -> None:
    """What is told of them is what is told of the same numbers in float64."""
    x = honest("plain", 60, 3).to(dtype)
    line, mu, direction, unit = sightline(rule, x, options(rule, x, 3))
    factors = unit * torch.tensor(NEAR, dtype=torch.float64)
    wide = Sightline(Scene(x.double(), F, rule), rule, mu, direction)
    torch.testing.assert_close(line.deviations(factors), wide.deviations(factors), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("rule", [CHAINS[1], vg.chain(MIXERS[1], vg.Median(f=F))], ids=repr)
def test_however_few_sums_are_in_a_tile(rule: vg.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    x = honest("uneven", 60, 4)
    line, *_, unit = sightline(rule, x, options(rule, x, 4))
    factors = unit * torch.tensor(NEAR, dtype=torch.float64)
    together = line.deviations(factors)
    monkeypatch.setattr("varangian.kernels.deviations.MOST_SUMS", 1)
    assert torch.equal(line.deviations(factors), together)


def test_the_servers_random_numbers_are_known() -> None:
    x = honest("plain", 6, 2)
    rule = vg.chain(vg.Bucketing(f=F, s=2), vg.GeometricMedian(f=F))
    two = torch.tensor([2.0], dtype=torch.float64)
    lines = [sightline(rule, x, {"stream": vg.Stream(seed)})[0] for seed in range(6)]
    assert len({round(float(line.deviations(two)), 9) for line in lines}) > 1


# Reads

GEOMETRIC: list[vg.Stage] = [
    *(
        rule
        for rule in ALONE
        if isinstance(rule, vg.GeometricRule) and not isinstance(rule, (vg.Aksel, vg.DnC, *SLOW))
    ),
    *(vg.chain(mixer, vg.Krum(f=F)) for mixer in MIXERS),
    *(vg.chain(mixer, vg.CAF(f=F)) for mixer in MIXERS),
    vg.chain(MIXERS[0], vg.GeometricMedian(f=F)),
    vg.chain(MIXERS[0], vg.CenteredClipping(f=F, radius=2.0)),
    vg.chain(vg.AdaptiveClipping(f=F), vg.Average()),
]
BY_COLUMN: list[vg.Stage] = [
    vg.Median(f=F),
    vg.TrimmedMean(f=F),
    vg.Phocas(f=F),
    vg.Bulyan(f=F),
    vg.chain(vg.NearestNeighborMixing(f=F), vg.TrimmedMean(f=F)),
    vg.chain(vg.AdaptiveClipping(f=F), vg.Median(f=F)),
]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count every pass over rows, whoever begins it."""
    begun: list[int] = []

    def count(rows: Rows, reads: int) -> None:
        begun.extend([1] * (reads - vars(rows).get("begun", 0)))
        vars(rows)["begun"] = reads

    counted = property(lambda rows: vars(rows)["begun"], count)
    monkeypatch.setattr(Rows, "reads", counted, raising=False)
    return begun


def passes(attack: vg.Attack, rule: vg.Stage, reads: list[int]) -> int:
    x = honest("plain", 100, 0)
    reads.clear()
    attack(x, b=F, rule=rule, options=options(rule, x, 0))
    return len(reads)


@pytest.mark.parametrize("rule", GEOMETRIC, ids=repr)
def test_geometric_chains_read_a_few_times_however_many_candidates(rule: vg.Stage, reads: list[int]) -> None:
    few, many = (passes(vg.Optimal(vg.MinMax(), candidates=count), rule, reads) for count in (10, 30))
    assert many <= few + 4, f"{few} passes for 10 candidates a round, {many} for 30"


@pytest.mark.parametrize("rule", BY_COLUMN, ids=repr)
def test_columns_are_read_once_a_round(rule: vg.Stage, reads: list[int]) -> None:
    x = honest("plain", 100, 0)
    checked = 2 * rule.aggregate(torch.cat([x, x[:F]])).reads  # the winner and the start, for real
    assert passes(vg.Optimal(candidates=60, rounds=0), rule, reads) <= 2 + checked
    assert passes(vg.Optimal(candidates=60, rounds=3), rule, reads) <= 5 + checked


@pytest.mark.parametrize("rule", [vg.Krum(f=F), vg.chain(MIXERS[0], vg.Krum(f=F)), vg.CAF(f=F)], ids=repr)
def test_hidden_vulnerability_bisects_without_reading(rule: vg.Stage, reads: list[int]) -> None:
    x = honest("plain", 100, 0)
    checked = rule.aggregate(torch.cat([x, x[:F]])).reads  # what is found, for real
    assert passes(vg.HiddenVulnerability(), rule, reads) == 1 + checked
