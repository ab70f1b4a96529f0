"""Parameters after five steps are those of a second implementation, to the last digits of their type."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from engines.by_hand import Array, Forger, Rule, average, flipped, little, run_by_hand, small, trimmed

import varangian as vg
from varangian.engines.loop import train
from varangian.optim import PLACES


def agree(
    spec: vg.Experiment, rule: Rule | None = None, forge: Forger | None = None, **trusting: Any
) -> None:
    """Compare five steps of the engine with those by hand."""
    start = run_by_hand(vg.Experiment(**{**vars(spec), "steps": 1}), rule, forge, **trusting).theta
    want = run_by_hand(spec, rule, forge, **trusting).theta
    got = train(spec).parameters
    tolerance = 1e-12 if spec.dtype == "float64" else 1e-6
    assert got.dtype == (torch.float64 if spec.dtype == "float64" else torch.float32)
    np.testing.assert_allclose(got.double(), want, rtol=tolerance, atol=tolerance)
    assert np.abs(want - start).max() > 1e-3, "nothing moved"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("place", "nesterov", "dampening"), list(product(PLACES, (False, True), (0.0, 0.4))))
def test_momentum(place: str, nesterov: bool, dampening: float, dtype: str) -> None:
    spec = small(
        momentum_at=place,
        nesterov=nesterov,
        dampening=dampening,
        dtype=dtype,
        rule=vg.TrimmedMean(f=2),
        attack=vg.SignFlip(),
    )
    agree(spec, trimmed(2), flipped)


VARIANTS: dict[str, dict[str, Any]] = {
    "no momentum": {"momentum": 0.0},
    "clip": {"clip": 0.5},
    "clip that never bites": {"clip": 1e6},
    "l1": {"l1": 0.05},
    "l2": {"l2": 0.05},
    "weight decay": {"weight_decay": 0.3},
    "all penalties and clip": {"l1": 0.02, "l2": 0.03, "weight_decay": 0.1, "clip": 0.7},
    "local steps": {"local_steps": 3},
    "local steps and nesterov": {"local_steps": 2, "nesterov": True, "clip": 0.5},
    "inverse decay": {"learning_rate": vg.InverseDecay(0.3, 2.0, 2)},
    "piecewise": {"learning_rate": vg.Piecewise(((0, 0.3), (2, 0.05), (4, 0.2))), "nesterov": True},
    "batch larger than a shard": {"batch_size": 1000},
    "not i.i.d.": {"split": vg.Dirichlet(0.3)},
    "evaluated all the time": {"evaluate_every": 1},
    "another seed": {"seed": 9},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", VARIANTS)
def test_options(name: str, place: str) -> None:
    spec = small(
        momentum_at=place, rule=vg.TrimmedMean(f=2), attack=vg.ALittleIsEnough(z=1.5), **VARIANTS[name]
    )
    agree(spec, trimmed(2), little(1.5))


def test_options_change_the_run() -> None:
    plain = train(small(rule=vg.TrimmedMean(f=2))).parameters
    for name, fields in VARIANTS.items():
        same = torch.equal(train(small(rule=vg.TrimmedMean(f=2), **fields)).parameters, plain)
        assert same == (name in ("clip that never bites", "evaluated all the time")), name


def test_everybody_follows_without_an_attack() -> None:
    """Liars without an attack are workers like others, in what they send and in what is sampled."""
    agree(small(attack=None), average)
    honest = train(small(attack=None, byzantine=0))
    followers = train(small(attack=None, byzantine=3))
    assert torch.equal(honest.parameters, followers.parameters)
    assert "forged_norm" not in followers.metrics


@pytest.mark.parametrize(
    "attack", [vg.LabelFlip(), vg.MalformedInput(factor=-3.0), vg.RandomLabel()], ids=repr
)
def test_poisoned_workers_follow_the_protocol_on_poisoned_data(attack: vg.DataAttack) -> None:
    agree(small(attack=attack), average)
    assert not torch.equal(train(small(attack=attack)).parameters, train(small(attack=None)).parameters)


@pytest.mark.parametrize(("declared", "real"), [(1, 3), (3, 1), (2, 0), (0, 2), (3, 3)])
def test_declared_and_real_liars_may_differ(declared: int, real: int) -> None:
    spec = small(rule=vg.TrimmedMean(f=declared), byzantine=real, attack=vg.SignFlip())
    agree(spec, trimmed(declared), flipped if real else None)


# Rules with more than vectors to look at


@dataclass
class Carried:
    """Centred clipping, carrying its last output."""

    radius: float
    inner: int
    last: Array | None = None

    def __call__(self, x: Array, step: int) -> Array:
        v = np.zeros(x.shape[1]) if self.last is None else self.last
        for _ in range(self.inner):
            gaps = x - v
            norms = np.linalg.norm(gaps, axis=1, keepdims=True)
            v = v + (gaps * np.minimum(1, self.radius / np.maximum(norms, 1e-300))).mean(0)
        self.last = v
        return v


@pytest.mark.parametrize("place", PLACES)
def test_centred_clipping_carries_its_state(place: str) -> None:
    spec = small(rule=vg.CenteredClipping(f=2, radius=0.2, steps=2), attack=vg.SignFlip(), momentum_at=place)
    want = run_by_hand(spec, Carried(0.2, 2), flipped).theta
    np.testing.assert_allclose(train(spec).parameters, want, rtol=1e-10, atol=1e-10)

    def forgetful(x: Array, step: int) -> Array:
        return Carried(0.2, 2)(x, step)

    assert np.abs(run_by_hand(spec, forgetful, flipped).theta - want).max() > 1e-4


def trust(x: Array, own: Array, step: int) -> Array:
    cosines = np.maximum(0, x @ own / np.linalg.norm(x, axis=1) / np.linalg.norm(own))
    scaled = x * np.linalg.norm(own) / np.linalg.norm(x, axis=1, keepdims=True)
    total = cosines.sum() or 1.0  # zero where nobody is trusted
    return np.asarray((cosines[:, None] * scaled).sum(0) / total)


def nearest(x: Array, own: Array, step: int) -> Array:
    order = np.argsort(((x - own) ** 2).sum(1), kind="stable")
    return np.asarray(x[order[: len(x) - 2]].mean(0))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("rule", "by_hand"), [(vg.FLTrust(), trust), (vg.MoNNA(f=2), nearest)], ids=["trust", "monna"]
)
def test_the_servers_own_gradient_is_treated_as_a_workers(rule: vg.Stage, by_hand: Any, place: str) -> None:
    """It is sampled from all data, and passes through the same momentum as what it is compared with."""
    spec = small(rule=rule, attack=vg.ALittleIsEnough(z=1.5), momentum_at=place, steps=8, byzantine=2)
    want = run_by_hand(spec, None, little(1.5), trusting=by_hand).theta
    np.testing.assert_allclose(train(spec).parameters, want, rtol=1e-9, atol=1e-9)
