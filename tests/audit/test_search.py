"""The search: as bad as the worst that is known, never worse than a theorem allows, and cheap."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.audit.battery import NAMES, battery
from varangian.audit.clouds import clouds
from varangian.audit.effort import BRIEF, QUICK
from varangian.audit.examination import Job, examine
from varangian.audit.ground import Ground
from varangian.audit.measured import measure
from varangian.audit.recording import Round, rounds
from varangian.audit.search import Found, search
from varangian.core.parties import weigh
from varangian.core.randomness import Stream
from varangian.core.stages import Stage

RULES = (
    vg.Average(f=2),
    vg.Krum(f=2),
    vg.MultiKrum(f=2),
    vg.GeometricMedian(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
    vg.chain(vg.AdaptiveClipping(f=2), vg.Average(f=2)),
    vg.Median(f=2),
    vg.CenteredClipping(f=2, radius=1.0),
    vg.Aksel(f=2),
    vg.DnC(f=2),
    vg.FLTrust(),
    vg.CAF(f=2),
    vg.SMEA(f=2),
    vg.MoNNA(f=2),
    vg.Phocas(f=2),
    vg.SignMajority(f=2),
    vg.MultiBulyan(f=1),
)


def ground_of(rule: Stage, honest: Tensor, b: int) -> Ground:
    seen = measure(Round.of("one", honest), rule, b)
    return Ground(seen, rule, tuple(range(len(honest))), b)


def lies(ground: Ground, forged: Tensor) -> Tensor:
    """Return the liars' vectors."""
    return torch.cat(
        [(forged[:, :-1] @ block.double()).to(block.dtype) for block in ground.seen.blocks()], -1
    )


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_table_tells_what_an_aggregation_tells(rule: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of recorded vectors, two of which are replaced by forgeries near, far, copied, and of two kinds."""
    monkeypatch.setattr(rounds, "BLOCK", 9 * 8 * 700)  # three blocks
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 2000, generator=generator, dtype=torch.float64) + 0.3
    ground = Ground(measure(Round.of("one", x), rule, 2), rule, (0, 1, 3, 4, 5, 6, 8), 2)
    away = torch.eye(ground.seen.k, dtype=torch.float64)[ground.seen.place("origin")] - ground.centre
    side = torch.eye(ground.seen.k, dtype=torch.float64)[ground.seen.place("sides")] - ground.centre
    copied = torch.eye(ground.seen.k, dtype=torch.float64)[4]
    pairs = [(0.5 * away, 0.5 * away), (3 * away, 3 * away), (40 * away, side), (side, -side)]
    forged = [ground.centre + torch.stack(pair) for pair in pairs] + [torch.stack([copied, copied])]
    found = ground.ratios(torch.stack(forged)).tolist()
    for one, ratio in zip(forged, found, strict=True):
        sent = x.clone()
        sent[[2, 7]] = lies(ground, one)
        mean = x[list(ground.honest)].mean(0)
        options = {"pivot": mean} if isinstance(rule, (vg.FLTrust, vg.MoNNA)) else {}
        spread = (x[list(ground.honest)] - mean).square().sum(-1).mean()
        real = float((rule(sent, **options) - mean).square().sum() / spread)
        assert ratio == pytest.approx(real, rel=1e-6, abs=1e-9)
        assert ground.exactly(one) == pytest.approx(real, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("n", "f"), [(3, 1), (5, 1), (7, 2), (9, 4), (9, 3)])
@pytest.mark.parametrize("kind", [vg.TrimmedMean, vg.Median])
def test_the_worst_of_columns_is_the_closed_form(kind: type, n: int, f: int) -> None:
    """With f honest vectors apart, liars who join the rest reach f / (n - 2f), below which no rule can stay.

    A median goes to a camp of k = (n+1)/2 - f honest vectors whom all liars join, (n-f-k)/k away.
    """
    job = Job(kind(f=f), n, f, False)
    reached = [one.worst for one in examine(clouds(n - f, f, Stream(1)), job)]
    worst = max(reached, key=lambda found: found.ratio)
    exact = worst.ground.exactly(worst.forged)
    few = (n + 1) // 2 - f
    known = f / (n - 2 * f) if kind is vg.TrimmedMean else (n - f - few) / few
    assert 0.95 * known <= exact <= known * (1 + 1e-6)
    assert exact <= kind(f=f).kappa(n)


def test_an_average_has_no_bound_and_neither_has_a_rule_that_declares_too_few() -> None:
    honest = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    assert math.isinf(search(ground_of(vg.Average(), honest, 1)).ratio)
    assert math.isinf(search(ground_of(vg.TrimmedMean(f=1), honest, 2)).ratio)
    assert math.isinf(search(ground_of(vg.Krum(f=1), honest[:2], 4)).ratio)
    assert math.isfinite(search(ground_of(vg.TrimmedMean(f=2), honest, 2)).ratio)
    assert search(ground_of(vg.Average(), honest, 0)).ratio == pytest.approx(0, abs=1e-20)


SMALL = (
    lambda f: vg.Krum(f=f),
    lambda f: vg.MultiKrum(f=f),
    lambda f: vg.GeometricMedian(f=f),
    lambda f: vg.MinimumDiameterAveraging(f=f),
    lambda f: vg.ComparativeGradientElimination(f=f),
    lambda f: vg.TrimmedMean(f=f),
    lambda f: vg.Phocas(f=f),
    lambda f: vg.chain(vg.NearestNeighborMixing(f=f), vg.TrimmedMean(f=f)),
    lambda f: vg.chain(vg.AdaptiveClipping(f=f), vg.GeometricMedian(f=f)),
)


def deviations(rule: Stage, honest: Tensor, forged: Tensor) -> Tensor:
    """Return the ratio of each candidate ``(c, b, d)`` by the rule itself."""
    x = torch.cat([honest.expand(len(forged), -1, -1), forged], dim=1)
    mean = honest.mean(0)
    return (rule(x) - mean).square().sum(-1) / (honest - mean).square().sum(-1).mean()


def brute_force(rule: Stage, honest: Tensor, b: int) -> float:
    """Return the worst over a fine grid of places for all liars, pairs of them, and a climb from the best."""
    generator = torch.Generator().manual_seed(5)
    mean, d = honest.mean(0), honest.shape[1]
    reach = (honest - mean).norm(dim=-1).max()
    ticks = torch.linspace(-4, 4, 401 if d == 1 else 25, dtype=torch.float64) * reach
    grid = torch.cartesian_prod(*[ticks] * d).view(-1, d) + mean
    pools = [grid[:, None].expand(-1, b, -1)]
    if b > 1:
        pools.append(grid[torch.randint(len(grid), (600, b), generator=generator)])
    best, spot = 0.0, pools[0][0]
    scale = 0.5
    for step in range(len(pools) + 20):
        if step < len(pools):
            tried = pools[step]
        else:
            sizes = reach * scale * 10 ** torch.linspace(-3, 0, 80, dtype=torch.float64)[:, None, None]
            tried = spot + sizes * torch.randn(80, b, d, generator=generator, dtype=torch.float64)
            scale *= 0.9
        reached = deviations(rule, honest, tried)
        top = int(reached.argmax())
        if float(reached[top]) > best:
            best, spot = float(reached[top]), tried[top]
    return best


CASES = [(*size, seed) for size in [(9, 2, 2), (5, 1, 1), (5, 1, 2), (7, 2, 1)] for seed in range(6)]
"""How many vectors, liars and coordinates, and a seed; the first, which is of the largest, comes at once."""
LATER = (3, 8)
"""The places of rules whose plans take long: seconds where every call's types are checked."""


@pytest.mark.parametrize(
    ("place", "n", "b", "d", "seed"),
    [
        pytest.param(place, *case, marks=() if case == CASES[0] and place not in LATER else pytest.mark.slow)
        for case in CASES
        for place in range(len(SMALL))
    ],
)
def test_the_search_finds_the_worst_that_brute_force_finds(
    place: int, n: int, b: int, d: int, seed: int
) -> None:
    """And never more than is proven."""
    rule = SMALL[place](b)
    generator = torch.Generator().manual_seed(100 * seed + place)
    honest = torch.randn(n - b, d, generator=generator, dtype=torch.float64)
    found = search(ground_of(rule, honest, b))
    exact = found.ground.exactly(found.forged)
    assert exact >= 0.95 * brute_force(rule, honest, b)
    kappa = rule.kappa(n)
    assert kappa is None or exact <= kappa * (1 + 1e-6)


def test_much_is_tried_for_more_vectors_if_they_are_short() -> None:
    """Krum's worst sits in a corner that a brief look misses."""
    job = Job(vg.Krum(f=2), 11, 2, False)
    rounds = clouds(9, 2, Stream(1))
    brief, whole = (max(one.worst.ratio for one in examine(rounds, job, effort)) for effort in (BRIEF, None))
    assert whole > 1.1 * brief
    assert whole <= job.rule.kappa(11)


def test_the_search_is_never_better_than_a_fixed_attack() -> None:
    honest = torch.randn(9, 500, generator=torch.Generator().manual_seed(3)) + 0.2
    for rule in (vg.Krum(f=2), vg.GeometricMedian(f=2), vg.Median(f=2)):
        ground = ground_of(rule, honest, 2)
        fixed = battery(ground)
        assert set(fixed) <= set(NAMES)
        beside = [
            Found(ground, forged, float(ground.ratios(forged[None])[0]), name)
            for name, forged in fixed.items()
        ]
        worst = max(found.ratio for found in beside)
        assert search(ground).ratio > worst
        assert search(ground, QUICK, beside=beside).ratio >= worst


FORMULAS = {
    "sign-flip": vg.SignFlip(),
    "scale:c=-10": vg.Scale(c=-10.0),
    "ipm": vg.InnerProductManipulation(),
    "alie": vg.ALittleIsEnough(),
    "alie:z=1.5": vg.ALittleIsEnough(z=1.5),
    "mimic": vg.Mimic(),
    "min-max": vg.MinMax(),
    "min-max:along=unit": vg.MinMax(along="unit"),
    "min-sum": vg.MinSum(),
    "zero": vg.Zero(),
}


def test_fixed_attacks_send_what_the_attacks_of_the_library_send() -> None:
    honest = torch.randn(9, 400, generator=torch.Generator().manual_seed(4), dtype=torch.float64) + 0.2
    rule = vg.Krum(f=2)
    ground = ground_of(rule, honest, 2)
    for name, forged in battery(ground).items():
        if name in FORMULAS:
            sent = FORMULAS[name](honest, b=2, rule=rule)[:1]
            torch.testing.assert_close(lies(ground, forged), sent, rtol=1e-6, atol=1e-9)


def test_honest_sets_are_all_tried_and_weights_keep_out_the_heavy() -> None:
    x = torch.randn(6, 50, generator=torch.Generator().manual_seed(2))
    x[4] += 3
    job = Job(vg.Median(f=1), 6, 1, True)
    assert len(job.sets) == 6
    (one,) = examine([Round.of("one", x)], job)
    ratios = [
        search(job.ground(measure(Round.of("one", x), job.rule, 1), honest)).ratio for honest in job.sets
    ]
    assert one.worst.ratio >= 0.95 * max(ratios)
    assert one.furthest == 4
    parties = weigh([5, 1, 1, 1, 1, 1], 6, 1, mass=0.2)
    assert (1, 2, 3, 4, 5) not in Job(vg.TrimmedMean(f=1), 6, 1, True, parties).sets
    assert len(Job(vg.Median(f=5), 20, 5, True).sets) <= 64
