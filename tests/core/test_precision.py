"""Nothing is lost where an attacker would look: close vectors of huge norm, and huge outliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import pytest
import torch

import varangian as vg
from varangian.core.needs import Reads
from varangian.core.points import Points
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.core.tables import fold, scale
from varangian.kernels.distances import pairwise
from varangian.kernels.rows import Rows, Segment

D, N, F = 1_000_000, 11, 3
NORM = 50.0
SEEDS = 30


def close_updates(seed: int, rms: float) -> np.ndarray:
    """Return weights w of norm 50 plus honest updates, and F liars at w - 3 (mean honest update)."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(D, dtype=np.float32)
    w *= NORM / np.linalg.norm(w)
    honest = rng.standard_normal((N - F, D), dtype=np.float32) * np.float32(rms)
    x = np.empty((N, D), dtype=np.float32)
    x[F:] = w + honest
    x[:F] = w - 3 * honest.mean(0)
    return x[rng.permutation(N)]


def exact_distances(x: np.ndarray) -> np.ndarray:
    """Return squared distances by direct differences in float64."""
    table = np.zeros((N, N))
    for i in range(N):
        for j in range(i):
            difference = x[i].astype(np.float64) - x[j]
            table[i, j] = table[j, i] = difference @ difference
    return table


PLANNED: list[Any] = [
    vg.Krum(f=F),
    vg.MultiKrum(f=F),
    vg.MinimumDiameterAveraging(f=F),
    vg.NearestNeighborMixing(f=F),
]


def agree_with_exact_distances(rms: float, seeds: range) -> int:
    """Count the seeds for which every plan equals that from exact distances."""
    agreed = 0
    for seed in seeds:
        x = close_updates(seed, rms)
        rows = Rows((Segment(torch.from_numpy(x)),))
        table = Points(N, rows=rows).table(Reads.PAIRS)
        exact = torch.from_numpy(exact_distances(x))
        assert torch.allclose(table, exact, rtol=1e-7, atol=0.0)
        agreed += all(torch.equal(stage.weights(table), stage.weights(exact)) for stage in PLANNED)
    return agreed


def test_updates_of_1e_5_at_norm_50_are_told_apart() -> None:
    assert agree_with_exact_distances(1e-5, range(SEEDS)) == SEEDS


@pytest.mark.slow
@pytest.mark.parametrize("rms", [1e-4, 3e-6])
def test_updates_of_other_sizes_are_told_apart(rms: float) -> None:
    assert agree_with_exact_distances(rms, range(SEEDS)) == SEEDS


@pytest.mark.parametrize("stage", PLANNED, ids=repr)
def test_a_call_weighs_as_exact_distances_do(stage: Any) -> None:
    x = close_updates(0, 1e-5)
    got = stage.aggregate(torch.from_numpy(x)).weights
    assert torch.equal(got, stage.weights(torch.from_numpy(exact_distances(x))))


def test_the_same_combination_is_the_same_point_to_the_bit() -> None:
    """Or rounding would break a tie now one way and now the other."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 50, generator=generator, dtype=torch.float64)
    weights = torch.rand(2, 7, 9, generator=generator, dtype=torch.float64).softmax(-1)
    weights[0, [1, 6]] = weights[0, 3].clone()
    weights[1, 5] = weights[1, 0].clone()
    folded, _ = fold(pairwise(x), weights)
    assert torch.equal(folded[0, [1, 6]], folded[0, [3, 3]])
    assert torch.equal(folded[1, 5], folded[1, 0])
    assert torch.equal(folded, folded.mT)
    torch.testing.assert_close(folded, pairwise(weights @ x), rtol=1e-9, atol=1e-12)


def scalings(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two batches of vectors, of which the last is the origin, and what they are multiplied by."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 9, 50, generator=generator, dtype=torch.float64)
    x[:, 8] = 0
    factors = torch.rand(2, 9, generator=generator, dtype=torch.float64) + 0.2
    factors[:, [2, 3, 8]] = 1
    return x, factors


def test_distances_of_scaled_points_are_those_of_points_that_were_scaled() -> None:
    for seed in range(20):
        x, factors = scalings(seed)
        found, exact = scale(pairwise(x), factors, 8)
        assert exact.all()
        torch.testing.assert_close(found, pairwise(factors[..., None] * x), rtol=1e-11, atol=0.0)
        assert torch.equal(found, found.mT)
        assert torch.equal(found[:, 2, 3], pairwise(x)[:, 2, 3])


def test_equal_points_are_scaled_alike_to_the_bit() -> None:
    x, factors = scalings(0)
    x[:, 6], factors[:, 6] = x[:, 1], factors[:, 1]
    found, exact = scale(pairwise(x), factors, 8)
    assert exact.all()
    assert torch.equal(found[:, 6], found[:, 1])
    assert (found[:, 1, 6] == 0).all()


@pytest.mark.parametrize("angle", [1e-9, 0.0])
def test_a_scaling_that_leaves_nothing_of_a_distance_says_so(angle: float) -> None:
    """Two vectors of one direction, of different lengths that are made the same."""
    x, factors = scalings(0)
    x[1, 1] = 3 * x[1, 0] + angle * x[1, 2]
    factors[1, 0], factors[1, 1] = 1, 1 / 3
    assert scale(pairwise(x), factors, 8)[1].tolist() == [True, False]


def test_what_lies_at_the_origin_stays_there_and_loses_nothing() -> None:
    x, factors = scalings(0)
    x[:, 4], factors[:, 5] = 0, 1e-3
    found, exact = scale(pairwise(x), factors, 8)
    assert exact.all()
    torch.testing.assert_close(found, pairwise(factors[..., None] * x), rtol=1e-11, atol=0.0)


def test_huge_points_may_become_tiny() -> None:
    x, factors = scalings(0)
    x[:, :8] *= 1e138
    factors[:, :8] = 1e-163 / factors[:, :8]
    found, exact = scale(pairwise(x), factors, 8)
    wanted = pairwise(factors[..., None] * x)
    assert (wanted[:, :8, :8] > 0).sum() == 2 * 8 * 7
    assert exact.all()
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=0.0)


def test_what_is_not_known_stays_unknown_when_it_is_scaled() -> None:
    x, factors = scalings(0)
    table = pairwise(x)
    known = scale(table, factors, 8)[0]
    table[:, :8, :8] = torch.nan
    found, exact = scale(table, factors, 8)
    assert exact.all()
    assert found[:, :8, :8].isnan().all()
    assert torch.equal(found[:, 8], known[:, 8])


@pytest.mark.parametrize("rule", [vg.Median(f=2), vg.TrimmedMean(f=2), vg.MeanAroundMedian(f=2)], ids=repr)
@pytest.mark.parametrize("size", [1e2, 1e8, 1e20])
def test_a_liar_in_front_who_is_scaled_down_costs_no_digit(rule: Stage, size: float) -> None:
    """It goes the way of all, and so is everybody's neighbour once it is clipped."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(9_000, generator=generator) / 10
    x = mean + 0.01 * torch.randn(9, 9_000, generator=generator)
    x[0] = size * mean
    chain = vg.chain(vg.Clipping(radius=10.5, f=2), vg.NearestNeighborMixing(f=2), rule)
    torch.testing.assert_close(chain(x).double(), chain(x.double()), rtol=1e-5, atol=1e-7)


# Huge outliers, in every chain


@dataclass(frozen=True)
class Link:
    """A stage and its oracle, a function of the vectors and of the stream that the stage is given."""

    stage: Stage
    truth: Callable[[np.ndarray, Stream], np.ndarray]

    @property
    def name(self) -> str:
        return type(self.stage).__name__


SCALES = (1e4, 1e10, 1e25, 3e38)
RADIUS = 4.0


def mixers(f: int) -> list[Link | None]:
    def bucketing(s: int) -> Link:
        stage = vg.Bucketing(f=f, s=s)
        return Link(stage, lambda x, r: oracle.bucketing(x, stage.permutation(len(x), r).tolist(), s))

    return [
        None,
        Link(vg.NearestNeighborMixing(f=f), lambda x, _: oracle.nearest_neighbor_mixing(x, f)),
        bucketing(1),
        bucketing(2),
        Link(vg.Clipping(radius=RADIUS, f=f), lambda x, _: oracle.clipping(x, RADIUS)),
        Link(vg.AdaptiveClipping(f=f), lambda x, _: oracle.adaptive_clipping(x, f)),
    ]


def rules(f: int, d: int, pivot: np.ndarray) -> list[Link]:
    dnc = vg.DnC(f=f)
    condense = vg.Condense(f=f)
    return [
        Link(vg.Median(f=f), lambda x, _: oracle.median(x)),
        Link(vg.TrimmedMean(f=f), lambda x, _: oracle.trimmed_mean(x, f)),
        Link(vg.MeanAroundMedian(f=f), lambda x, _: oracle.mean_around_median(x, len(x) - f)),
        Link(vg.Phocas(f=f), lambda x, _: oracle.phocas(x, f)),
        Link(vg.Krum(f=f), lambda x, _: oracle.krum(x, f)),
        Link(vg.MultiKrum(f=f), lambda x, _: oracle.multi_krum(x, f)),
        Link(vg.Bulyan(f=f), lambda x, _: oracle.bulyan(x, f)),
        Link(vg.MultiBulyan(f=f), lambda x, _: oracle.multi_bulyan(x, f)),
        Link(vg.MinimumDiameterAveraging(f=f), lambda x, _: oracle.mda(x, f)),
        Link(vg.Aksel(f=f), lambda x, _: oracle.aksel(x)),
        Link(vg.ComparativeGradientElimination(f=f), lambda x, _: oracle.cge(x, f)),
        Link(vg.GeometricMedian(f=f), lambda x, _: oracle.geometric_median(x, 400, 1e-12)),
        Link(vg.GeometricMedian(f=f, nu=0.1, steps=8), lambda x, _: oracle.geometric_median(x, 8, 0.1)),
        Link(
            vg.CenteredClipping(f=f, radius=RADIUS, steps=3),
            lambda x, _: oracle.centered_clipping(x, RADIUS, 3, np.zeros(d)),
        ),
        Link(vg.MoNNA(f=f), lambda x, _: oracle.monna(x, pivot, f)),
        Link(vg.CAF(f=f), lambda x, _: oracle.caf(x, f)),
        Link(vg.FLTrust(f=f), lambda x, _: oracle.fltrust(x, pivot)),
        Link(vg.SignMajority(f=f), lambda x, _: oracle.sign_majority(x)),
        Link(dnc, lambda x, r: oracle.dnc(x, f, [np.isin(np.arange(d), s) for s in dnc.subsets(d, r)], 1.0)),
        Link(condense, lambda x, r: oracle.condense(x, condense.mask(d, r).numpy())),
    ]


def hostile(n: int, d: int, f: int, scale: float, seed: int, *, colluding: bool) -> np.ndarray:
    """Return honest gaussian vectors first, then f liars of this size, alone or together."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * 0.5 + 0.3
    directions = rng.uniform(-1, 1, (1 if colluding else f, d))
    x[n - f :] = scale * directions
    return x.astype(np.float32)


def outcome(
    mixer: Link | None, rule: Link, x: np.ndarray, pivot: np.ndarray
) -> tuple[Any, Callable[[], np.ndarray]]:
    """Return the chain's aggregation, and how to compute the truth step by step."""
    stage = vg.chain(mixer.stage, rule.stage) if mixer else rule.stage
    needs = rule.name in ("MoNNA", "FLTrust")
    given = {"pivot": torch.from_numpy(pivot.astype(np.float32))} if needs else {}
    stream = Stream(7)

    def truth() -> np.ndarray:
        if mixer is None:
            return rule.truth(x.astype(np.float64), stream)
        mixed = mixer.truth(x.astype(np.float64), stream.at("stage", place=0))
        return rule.truth(mixed, stream.at("stage", place=1))

    return stage.aggregate(torch.from_numpy(x.copy()), stream=stream, **given), truth


def relative(got: np.ndarray, want: np.ndarray, honest: np.ndarray) -> float:
    floor = 1e-3 * np.median(np.linalg.norm(honest, axis=1))
    return float(np.linalg.norm(got.astype(np.float64) - want) / max(np.linalg.norm(want), floor))


def compared(mixer_at: int, n: int, d: int, f: int, *, only_smea: bool = False) -> tuple[int, list[str]]:
    """Compare every rule after one mixer with the truth at all scales; return the count and what is wrong."""
    count, wrong = 0, []
    pivot = np.float32(np.linspace(0.1, 0.6, d)).astype(np.float64)
    smea = Link(vg.SMEA(f=f), lambda x, _: oracle.smea(x, f))
    links = [smea] if only_smea else rules(f, d, pivot)
    mixer = mixers(f)[mixer_at]
    for size in SCALES:
        for colluding in (False, True):
            x = hostile(n, d, f, size, int(np.log10(size)), colluding=colluding)
            for rule in links:
                stage = vg.chain(mixer.stage, rule.stage) if mixer else rule.stage
                if not stage.condition().holds(n):
                    continue
                got, truth = outcome(mixer, rule, x, pivot)
                what = f"{stage!r} at {size:g}, colluding={colluding}"
                value = got.value.numpy()
                if not np.isfinite(value).all():
                    wrong.append(f"{what}: {value}")
                    continue
                # Independent liars pull the mean, and one of them may then project less than the honest.
                if (
                    rule.name == "DnC"
                    and mixer is None
                    and colluding
                    and got.weights[n - f :].abs().max() > 0
                ):
                    wrong.append(f"{what}: liars weigh {got.weights[n - f :].tolist()}")
                try:
                    want = truth()
                except oracle.Ambiguous:
                    continue
                count += 1
                error = relative(value, want, x[: n - f])
                if not error <= 1e-5:
                    wrong.append(f"{what}: error {error:.3g}")
    return count, wrong


FEWEST = {0: 150, 1: 110, 2: 150, 3: 110, 4: 140, 5: 140}
"""Comparisons that are not ambiguous, by mixer."""


@pytest.mark.parametrize(
    "mixer_at", range(6), ids=["none", "nnm", "bucketing 1", "bucketing 2", "clipping", "arc"]
)
def test_huge_outliers_decide_nothing(mixer_at: int) -> None:
    count, wrong = compared(mixer_at, 15, 50, 3)
    assert not wrong, "\n".join(wrong)
    assert count >= FEWEST[mixer_at], count


@pytest.mark.parametrize(
    "mixer_at", range(6), ids=["none", "nnm", "bucketing 1", "bucketing 2", "clipping", "arc"]
)
def test_huge_outliers_decide_nothing_for_smea(mixer_at: int) -> None:
    count, wrong = compared(mixer_at, 10, 6, 2, only_smea=True)
    assert not wrong, "\n".join(wrong)
    assert count >= 4, count
