"""What mixers promise beyond the kit: sizes, bounds, and chains that equal their steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import varangian as vg
from varangian.core.randomness import Stream
from varangian.errors import ToleranceError


def vectors(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("s", [1, 2, 3, 20])
def test_bucketing_keeps_the_mean_of_whole_groups(n: int, s: int) -> None:
    x = vectors(n)
    stage = vg.Bucketing(f=0, s=s)
    groups = stage(x)
    assert len(groups) == stage.outputs(n) == -(-n // s)
    sizes = torch.tensor([min(s, n - k * s) for k in range(len(groups))], dtype=torch.float64)
    assert torch.allclose((groups * sizes[:, None]).sum(0) / n, x.mean(0))


def test_bucketing_draws_from_its_stream_alone() -> None:
    x, stage = vectors(10), vg.Bucketing(f=0, s=2)
    assert torch.equal(stage(x, stream=Stream(1)), stage(x, stream=Stream(1)))
    assert not torch.equal(stage(x, stream=Stream(1)), stage(x, stream=Stream(2)))


def test_a_liar_spoils_its_group_alone() -> None:
    x = vectors(9)
    y = x.clone()
    y[4] = 1e9
    changed = (vg.Bucketing(f=1, s=3)(x) != vg.Bucketing(f=1, s=3)(y)).any(-1)
    assert int(changed.sum()) == 1


@pytest.mark.parametrize("radius", [1e-3, 1.0, 1e3])
def test_clipping_bounds_every_norm_and_keeps_directions(radius: float) -> None:
    x = vectors(7)
    x[2] *= 1e6
    x[3] = 0.0
    got = vg.Clipping(radius=radius)(x)
    assert (got.norm(dim=-1) <= radius * (1 + 1e-12)).all()
    short = x.norm(dim=-1) <= radius
    assert torch.equal(got[short], x[short])
    cosine = torch.nn.functional.cosine_similarity(got, x, dim=-1)
    assert torch.allclose(cosine[x.norm(dim=-1) > 0], torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize(("n", "f"), [(3, 1), (5, 1), (5, 2), (9, 2), (9, 4), (4, 0)])
def test_adaptive_clipping_leaves_no_vector_longer_than_the_longest_honest(n: int, f: int) -> None:
    for seed in range(20):
        x = vectors(n, seed)
        x[:f] *= 10.0**seed
        got = vg.AdaptiveClipping(f=f)(x)
        assert float(got.norm(dim=-1).max()) <= float(x[f:].norm(dim=-1).max()) * (1 + 1e-12)
        k = 2 * f * (n - f) // n
        assert int((got.norm(dim=-1) < x.norm(dim=-1) * (1 - 1e-12)).sum()) <= k


@pytest.mark.parametrize("f", [0, 1, 2])
def test_nearest_neighbours_draw_the_vectors_together(f: int) -> None:
    x = vectors(7)
    got = vg.NearestNeighborMixing(f=f)(x)
    assert got.shape == x.shape
    assert float(torch.pdist(got).max()) <= float(torch.pdist(x).max())
    if f == 0:
        assert torch.allclose(got, x.mean(0).expand_as(got))


def test_far_liars_leave_no_trace_in_honest_mixtures() -> None:
    x = vectors(7)
    want = vg.NearestNeighborMixing(f=2)(x)
    y = torch.cat([x[:5], x[:2] + 1e8])
    got = vg.NearestNeighborMixing(f=2)(y)
    assert float(got[:5].abs().max()) < 10
    assert want.shape == got.shape


CHAINS: list[tuple[Any, Any]] = [
    (vg.NearestNeighborMixing(f=2), vg.Krum(f=2)),
    (vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
    (vg.NearestNeighborMixing(f=2), vg.GeometricMedian(f=2)),
    (vg.AdaptiveClipping(f=2), vg.MultiKrum(f=2)),
    (vg.AdaptiveClipping(f=2), vg.NearestNeighborMixing(f=2)),
    (vg.Clipping(radius=2.0, f=2), vg.CAF(f=2)),
    (vg.NearestNeighborMixing(f=2), vg.AdaptiveClipping(f=2)),
    (vg.NearestNeighborMixing(f=2), vg.Aksel(f=2)),
    (vg.BulyanSelection(f=2), vg.Median(f=2)),
]


@pytest.mark.parametrize(("first", "second"), CHAINS, ids=lambda stage: type(stage).__name__)
def test_a_chain_is_its_steps(first: Any, second: Any) -> None:
    for seed in range(10):
        x = vectors(13, seed)
        x[:2] *= 5.0
        got, want = vg.chain(first, second)(x), second(first(x))
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-9)


def test_a_bucketed_rule_needs_its_condition_on_the_groups() -> None:
    rule = vg.chain(vg.Bucketing(f=2, s=2), vg.Median(f=2))
    assert rule.condition().minimum == 9
    assert rule(vectors(9)).shape == (6,)
    with pytest.raises(ToleranceError, match="n = 8"):
        rule(vectors(8))
