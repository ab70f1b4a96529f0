"""A result depends neither on what is computed beside it, nor on how the vectors lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import varangian as vg
from tests.everything import STAGES, aggregated
from varangian.core.stages import Stage

WAYS: dict[str, Callable[[Tensor], Any]] = {
    "columns first": lambda x: x.T.contiguous().T,
    "every other column": lambda x: torch.stack([x, x], dim=-1).flatten(-2)[:, ::2],
    "vectors": list,
    "blocks": lambda x: vg.InBlocks(lambda: x.split(50, 1), x.shape),
    "blocks, columns first": lambda x: vg.InBlocks(
        lambda: (b.T.contiguous().T for b in x.split(50, 1)), x.shape
    ),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MORE = [
    vg.chain(mixer, rule)
    for mixer in (vg.NearestNeighborMixing(f=2), vg.AdaptiveClipping(f=2))
    for rule in (vg.CAF(f=2), vg.GeometricMedian(f=2), vg.MultiKrum(f=2), vg.Aksel(f=2))
]


@pytest.mark.parametrize("stage", [*STAGES, *MORE], ids=repr)
@pytest.mark.parametrize("n", [13, 25])
def test_each_of_a_batch_is_the_same_as_alone(stage: Stage, n: int) -> None:
    x = drawn(5, n, 77)
    x[1, 0] *= 1e3
    x[2, :2] = x[2, 2]
    together, _ = aggregated(stage, x)
    for run, got in zip(x, together, strict=True):
        assert torch.equal(got, aggregated(stage, run)[0])


@pytest.mark.parametrize("attack", [vg.Optimal(), vg.MinMax(), vg.MinSum(), vg.Mimic()], ids=repr)
@pytest.mark.parametrize("rule", [vg.Median(f=2), vg.CAF(f=2), MORE[1]], ids=repr)
def test_each_attack_of_a_batch_is_the_same_as_alone(attack: vg.Attack, rule: Stage) -> None:
    honest = drawn(5, 23, 301)
    together = attack(honest, b=2, rule=rule)
    for run, got in zip(honest, together, strict=True):
        assert torch.equal(got, attack(run, b=2, rule=rule))
    assert attack(honest[:0], b=2, rule=rule).shape == (0, 2, 301)


def test_a_filter_that_is_done_waits_for_no_other() -> None:
    few = torch.tensor([[[-1.0], [-1.0], [1.0], [1.0]], [[0.0], [2.0], [1.0], [1e6]]])
    assert vg.CAF(f=1)(few).tolist() == [vg.CAF(f=1)(one).tolist() for one in few]


@pytest.mark.parametrize("rule", [vg.Median(f=2), vg.TrimmedMean(f=2), vg.Krum(f=2)], ids=repr)
def test_one_run_beyond_the_tables_digits_leaves_the_others_theirs(rule: Stage) -> None:
    honest = drawn(4, 11, 40).float()
    honest[1, 0] *= 1e6
    attack, chain = vg.HiddenVulnerability(), vg.chain(vg.NearestNeighborMixing(f=2), rule)
    together = attack(honest, b=2, rule=chain)
    for run, got in zip(honest, together, strict=True):
        assert torch.equal(got, attack(run, b=2, rule=chain))


@pytest.mark.parametrize("way", ["gradients", "columns first"])
def test_a_run_that_is_not_finite_leaves_the_others_theirs(way: str) -> None:
    x, weights = drawn(3, 13, 301), torch.arange(1, 14)
    spoiled = x.clone()
    spoiled[1, 2, 5] = torch.nan
    lie = (lambda y: y.mT.contiguous().mT) if way == "columns first" else torch.clone
    got, want = (vg.Average()(lie(y), weights=weights) for y in (spoiled, x))
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[2], want[2])
    assert (~got.isfinite()).nonzero().tolist() == [[1, 5]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("clipping", [vg.AdaptiveClipping(f=2), vg.Clipping(radius=10.0)], ids=repr)
def test_vectors_of_one_length_are_as_near_to_zero_as_each_other(clipping: Any, way: str) -> None:
    """Rounding must not choose the neighbours of one who sends nothing."""
    rule = vg.chain(clipping, vg.NearestNeighborMixing(f=2), vg.Median(f=2))
    for seed in range(5):
        x = drawn(13, 300, seed=seed).float()
        x[0] = torch.nan
        torch.testing.assert_close(rule(WAYS[way](x)), rule(x), rtol=1e-5, atol=1e-6)


def test_of_vectors_as_near_the_first_are_nearer() -> None:
    x, clipping = drawn(13, 300).float(), vg.Clipping(radius=10.0)
    x[0] = 0.0
    mixed = vg.chain(clipping, vg.NearestNeighborMixing(f=2))(x)
    torch.testing.assert_close(mixed[0], clipping(x)[:11].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_weighs_nothing_is_not_read(way: str, value: float) -> None:
    x = drawn(7, 300)
    x[0] = value
    weights = torch.tensor([0.0, 1, 2, 1, 1, 1, 1], dtype=torch.float64)
    got = vg.Average()(WAYS[way](x), weights=weights)
    torch.testing.assert_close(got, weights[1:] / 7 @ x[1:])
    x[1, 5] = value
    spoiled = vg.Average()(WAYS[way](x), weights=weights)
    assert (~spoiled.isfinite()).nonzero().tolist() == [[5]]
