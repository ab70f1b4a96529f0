"""Vectors without a coordinate, and numbers so large that their squares overflow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.attacks.attack import Scene
from varangian.core.moments import Moments
from varangian.kernels.rows import LARGEST

LINES: list[vg.Attack] = [
    vg.SignFlip(),
    vg.Scale(),
    vg.InnerProductManipulation(),
    vg.ALittleIsEnough(z=1.0),
    *(kind(along=along) for kind in (vg.MinMax, vg.MinSum) for along in ("unit", "std", "sign")),
    vg.Optimal(),
    vg.Optimal(vg.MinMax()),
    vg.HiddenVulnerability(coordinate=None),
]
RULES: list[vg.Stage] = [
    vg.Krum(f=2),
    vg.GeometricMedian(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.Median(f=2)),
]
line = pytest.mark.parametrize("attack", LINES, ids=repr)


def honest(*batch: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*batch, 8, 40, generator=generator, dtype=torch.float64) * scale


@pytest.mark.parametrize("attack", [*LINES, vg.Mimic(), vg.Random(), vg.NonFinite()], ids=repr)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_without_a_coordinate_there_is_nothing_to_send(attack: vg.Attack, rule: vg.Stage) -> None:
    for batch in ((), (3,)):
        for dtype in (torch.float32, torch.float64):
            x = torch.zeros(*batch, 8, 0, dtype=dtype)
            assert attack(x, b=2, rule=rule).shape == (*batch, 2, 0)


@line
@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("scale", [1e141, 1e160, 1e300])
def test_the_honest_vectors_are_read_as_rules_read_them(
    attack: vg.Attack, rule: vg.Stage, scale: float
) -> None:
    x = honest(scale=scale)
    forged = attack(x, b=2, rule=rule)
    assert bool(forged.isfinite().all())
    assert torch.equal(forged, attack(x.clamp(-LARGEST, LARGEST), b=2, rule=rule))


@line
def test_large_numbers_are_small_ones_at_another_scale(attack: vg.Attack) -> None:
    scale = 2.0**400  # about 1e120: squares are numbers, and squares of squares are not
    small, large = (attack(x, b=2, rule=RULES[0]) for x in (honest(), honest(scale=scale)))
    torch.testing.assert_close(large / scale, small, rtol=1e-9, atol=1e-12)


def test_known_moments_that_overflowed_are_measured_again() -> None:
    x = honest(2)
    x[1] *= 1e160
    for attack in (vg.ALittleIsEnough(z=1.0), vg.MinMax()):
        known, _ = attack.vectors(Scene(x, 2, moments=Moments.of(x)))
        assert bool(known.isfinite().all())
        assert torch.equal(known[0], attack(x[0], b=2))


def test_ordinary_vectors_are_not_copied() -> None:
    for x in (honest(), honest(scale=1e130), honest().float()):
        scene = Scene(x, 2)
        assert scene.bounded() is scene


@pytest.mark.parametrize("scale", [1e160, 1e300])
def test_attacks_off_the_line(scale: float) -> None:
    x = honest(scale=scale)
    assert bool(vg.Random()(x, b=2).isfinite().all())
    first = vg.Mimic().forge(x, 2)
    then = vg.Mimic().forge(x, 2, state=first.state)
    for copies in (first.value, then.value):
        assert any(torch.equal(copies[0], row) for row in x)
