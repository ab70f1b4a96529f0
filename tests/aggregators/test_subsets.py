"""The exact searches: how far they go, and what they say when they may go no further."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

import varangian as vg
from varangian.aggregators.subsets import SMEA_WORK, Cover, least_diameter
from varangian.errors import SearchLimitError


def gradients(kind: str, n: int, f: int, seed: int, d: int = 1000) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    match kind:
        case "outliers":
            x[:f] += 5 * rng.standard_normal(d)
        case "a little":
            x[:f] = x[f:].mean(0) + x[f:].std(0)
        case "heterogeneous":
            x = 0.3 * x + rng.standard_normal((10, d))[rng.integers(0, 10, n)]
    return torch.from_numpy(x)


@pytest.mark.parametrize("kind", ["alike", "outliers", "a little", "heterogeneous"])
@pytest.mark.parametrize(("n", "f"), [(25, 5), (25, 11), (51, 12), (51, 24), (101, 49)])
def test_least_diameter_visits_few_nodes_on_gradients(kind: str, n: int, f: int) -> None:
    for seed in range(3):
        vg.MinimumDiameterAveraging(f=f, nodes=20 * n)(gradients(kind, n, f, seed))


def test_least_diameter_is_the_first_of_all_subsets_in_order() -> None:
    """Half of the tables have few different distances, so that many subsets are as good."""
    rng = np.random.default_rng(0)
    tied = 0
    for case in range(500):
        f = int(rng.integers(0, 5))
        n = 2 * f + 1 + int(rng.integers(0, 3))
        x = rng.integers(0, 3, (n, 2)) if case % 2 else rng.standard_normal((n, 3))
        table = ((x[:, None] - x).astype(float) ** 2).sum(-1)
        subsets = np.array(list(itertools.combinations(range(n), n - f)))
        diameters = table[subsets[:, :, None], subsets[:, None, :]].max((1, 2))
        assert least_diameter(table, f) == subsets[diameters.argmin()].tolist()
        tied += int((diameters == diameters.min()).sum() > 1)
    assert tied > 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alike", "outliers", "a little", "heterogeneous"])
def test_least_diameter_of_a_hundred_takes_half_a_second(kind: str) -> None:
    for seed in range(5):
        x = gradients(kind, 101, 49, seed)
        table = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square().numpy()
        start = time.thread_time()
        assert len(least_diameter(table, 49)) == 52
        assert time.thread_time() - start < 0.5


def test_searches_stop_at_their_limit_and_say_what_to_do() -> None:
    x = gradients("alike", 25, 5, 0)
    with pytest.raises(SearchLimitError, match=r"raise nodes=, or use a rule"):
        vg.MinimumDiameterAveraging(f=5, nodes=2)(x)
    with pytest.raises(SearchLimitError, match=r"raise nodes=.*use CAF"):
        vg.SMEA(f=5, nodes=100)(x)


def test_a_search_may_go_deeper_than_calls_may_nest() -> None:
    """Of a triangle two vertices are needed, and the first of them is a choice."""
    triangles = 1000
    corners = [0b111 << 3 * (v // 3) & ~(1 << v) for v in range(3 * triangles)]
    cover = Cover(2 * triangles, "a test")
    assert cover.exists(corners, (1 << 3 * triangles) - 1, 2 * triangles)
    assert cover.visited >= 1000


def test_a_search_among_two_thousand_gives_up_in_time() -> None:
    x = torch.zeros(2003, 1002)
    x[1001:] = torch.eye(1002)
    start = time.thread_time()
    with pytest.raises(SearchLimitError, match="raise nodes="):
        vg.MinimumDiameterAveraging(f=1001)(x)
    assert time.thread_time() - start < 60


@pytest.mark.parametrize(("n", "f"), [(60, 20), (200, 5), (400, 20)])
def test_smea_gives_up_in_time_of_itself(n: int, f: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subsets of two hundred take a hundred times as long as those of twenty: here a tenth of the limit."""
    monkeypatch.setattr("varangian.aggregators.subsets.SMEA_WORK", SMEA_WORK / 10)
    x = gradients("alike", n, f, 0)
    start = time.thread_time()
    with pytest.raises(SearchLimitError, match=r"SMEA\(.*raise nodes="):
        vg.SMEA(f=f)(x)
    assert time.thread_time() - start < 4


def test_smea_visits_as_many_as_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gradients("outliers", 25, 5, 0)
    monkeypatch.setattr("varangian.aggregators.subsets.SMEA_WORK", 1.0)
    with pytest.raises(SearchLimitError):
        vg.SMEA(f=5)(x)
    vg.SMEA(f=5, nodes=5_000)(x)


def test_smea_prunes_where_outliers_are_plain() -> None:
    x = gradients("outliers", 25, 5, 0)
    chosen = vg.SMEA(f=5, nodes=5_000).aggregate(x).weights
    assert chosen is not None
    assert not chosen[:5].any()
