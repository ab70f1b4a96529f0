"""What attacks see and do inside a run, and what a run says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from engines.by_hand import DATA, average, run_by_hand, small, trimmed
from torch import Tensor, nn

import varangian as vg
from varangian.attacks.attack import Scene
from varangian.engines.loop import train
from varangian.engines.world import World
from varangian.optim import PLACES


@dataclass(frozen=True)
class Spy(vg.Attack):
    """Sends the mean of what it sees, and keeps what it saw."""

    scenes: list[Scene] = field(default_factory=list, compare=False)

    sees = vg.Sight.HONEST

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        self.scenes.append(scene)
        return scene.honest.mean(-2)[None].expand(scene.b, -1), (scene.state or 0) + 1


@pytest.mark.parametrize("place", PLACES)
def test_attacks_see_what_the_honest_send_and_no_more(place: str) -> None:
    spy = Spy()
    spec = small(attack=spy, rule=vg.TrimmedMean(f=2), momentum_at=place, clip=0.5)
    result = train(spec)
    hand = run_by_hand(spec, trimmed(2), lambda sent, b: np.stack([sent.mean(0)] * b))
    np.testing.assert_allclose(result.parameters, hand.theta, rtol=1e-10, atol=1e-10)
    assert len(spy.scenes) == spec.steps
    for step, (scene, sent) in enumerate(zip(spy.scenes, hand.sent, strict=True)):
        assert scene.honest.shape == (5, len(hand.theta))
        assert scene.b == 2
        assert scene.n == 7
        assert scene.rule is spec.rule
        assert scene.state == (step or None)
        np.testing.assert_allclose(scene.honest, sent, rtol=1e-10, atol=1e-12)


@dataclass(frozen=True)
class Insider(Spy):
    """A spy that also sees the rule."""

    sees = vg.Sight.RULE


def test_the_white_box_sees_what_the_server_hands_to_its_rule() -> None:
    insider, spy = Insider(), Spy()
    options = {"rule": vg.TrimmedMean(f=2), "momentum_at": "server", "dampening": 0.5}
    told, plain = train(small(attack=insider, **options)), train(small(attack=spy, **options))
    np.testing.assert_allclose(told.parameters, plain.parameters, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(insider.scenes[-1].honest, spy.scenes[-1].honest)


def test_the_white_box_knows_the_servers_side() -> None:
    spy = Spy()
    train(small(attack=spy, rule=vg.CenteredClipping(f=2, radius=0.1)))
    states = [scene.options["state"] for scene in spy.scenes]
    assert states[0] is None
    assert all(torch.is_tensor(state) for state in states[1:])
    spy = Spy()
    train(small(attack=spy, rule=vg.FLTrust()))
    assert all(scene.options["pivot"].shape == scene.honest[0].shape for scene in spy.scenes)
    assert not any((scene.honest == scene.options["pivot"]).all(-1).any() for scene in spy.scenes)
    assert len({scene.options["stream"] for scene in spy.scenes}) == 5


def test_optimal_knows_the_buckets_of_the_step() -> None:
    """The stream that the attack is given makes the shuffle that the server makes."""
    rule = vg.chain(vg.Bucketing(f=1, s=2), vg.Median(f=1))

    @dataclass(frozen=True)
    class Foresight(Spy):
        def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
            forged = -3 * scene.honest.mean(-2)[None]
            outcomes.append(rule(torch.cat([scene.honest, forged]), stream=scene.options["stream"]))
            return forged, None

    outcomes: list[Tensor] = []
    result = train(small(attack=Foresight(), rule=rule, byzantine=1, momentum=0.0))
    np.testing.assert_allclose(
        result.metrics["aggregated_norm"], [float(o.norm()) for o in outcomes], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("attack", "factor"),
    [(vg.SignFlip(), 1.0), (vg.Scale(c=4.0), 4.0), (vg.InnerProductManipulation(0.5), 0.5)],
)
def test_the_forged_mean_is_the_formula_on_sent(attack: vg.Attack, factor: float) -> None:
    metrics = train(small(attack=attack, rule=vg.Median(f=2))).metrics
    np.testing.assert_allclose(metrics["forged_norm"], factor * np.array(metrics["sent_norm"]), rtol=1e-9)
    np.testing.assert_allclose(metrics["forged_variance"], 0, atol=1e-18)


def test_metrics_of_sent_are_of_the_honest() -> None:
    spec = small(attack=vg.Gaussian(), rule=vg.Median(f=2), byzantine=3)
    hand = run_by_hand(small(attack=None, byzantine=3, steps=1), average)
    metrics = train(spec).metrics
    want = hand.sent[0]
    assert metrics["sent_norm"][0] == pytest.approx(np.linalg.norm(want.mean(0)), rel=1e-9)
    assert metrics["sent_variance"][0] == pytest.approx(want.var(0, ddof=1).sum(), rel=1e-9)


# Values that are no numbers


def test_nan_destroys_averaging_and_it_is_said() -> None:
    result = train(small(attack=vg.NonFinite(), rule=vg.Average()))
    assert result.diverged
    assert result.accuracy == 0
    assert not bool(result.parameters.isfinite().any())


@pytest.mark.parametrize("kind", ["nan", "+inf", "-inf", "mix"])
def test_nan_does_little_to_a_median(kind: str) -> None:
    fields: dict[str, Any] = {"rule": vg.Median(f=2), "steps": 60}
    clean = train(small(**fields, attack=None))
    attacked = train(small(**fields, attack=vg.NonFinite(kind=kind)))
    assert not attacked.diverged
    assert clean.accuracy > 0.8
    assert attacked.accuracy > clean.accuracy - 0.05
    assert attacked.metrics["nonfinite_rows"] == [2.0] * 60
    assert clean.metrics["nonfinite_rows"] == [0.0] * 60


@pytest.mark.parametrize("b", [0, 1, 3])
def test_nonfinite_rows_counts_the_liars(b: int) -> None:
    metrics = train(small(rule=vg.Median(f=3), attack=vg.NonFinite(), byzantine=b)).metrics
    assert metrics["nonfinite_rows"] == [float(b)] * 5


@pytest.mark.parametrize("rule", [vg.Median(f=2), vg.Average(), vg.GeometricMedian(f=2)], ids=repr)
def test_a_loss_that_is_no_number_at_the_end_is_divergence(rule: vg.Stage) -> None:
    """A robust rule reads NaN as zeros, so parameters may stay finite while nothing is learned."""
    result = train(
        small(rule=rule, attack=vg.SignFlip(), learning_rate=1e38, l2=1.0, steps=8, dtype="float32")
    )
    assert not math.isfinite(result.metrics["loss"][-1])
    assert result.diverged


@pytest.mark.parametrize(
    "rule",
    [vg.FLTrust(), vg.MoNNA(f=2), vg.CenteredClipping(f=2, radius=1.0), vg.SMEA(f=2), vg.CAF(f=2)],
    ids=repr,
)
@pytest.mark.parametrize("attack", [vg.SignFlip(), vg.Mimic(), vg.Optimal()], ids=repr)
def test_divergence_is_a_result_and_no_crash(rule: vg.Stage, attack: vg.Attack) -> None:
    spec = small(rule=rule, attack=attack, learning_rate=1e38, l2=1.0, steps=6, dtype="float32")
    assert train(spec).diverged


# Poisoned data


def normalising(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(shape[0]), nn.Linear(shape[0], classes))


def test_a_liars_inputs_leave_no_trace_in_the_models_statistics() -> None:
    world = World.of(small(model=normalising, attack=vg.MalformedInput()))
    theta = world.flat.get()
    fresh = {name: value.clone() for name, value in world.module.named_buffers()}
    for liar in (5, 6):
        world.gradient(theta, liar, 0, 0)
        assert all(torch.equal(value, fresh[name]) for name, value in world.module.named_buffers())
    world.gradient(theta, 0, 0, 0)
    assert not torch.equal(world.module[0].running_mean, fresh["0.running_mean"])  # type: ignore[index]


def test_malformed_inputs_leave_evaluation_sound() -> None:
    """Were the running statistics theirs, every test image would look the same."""
    fields: dict[str, Any] = {"model": normalising, "rule": vg.Median(f=2), "steps": 60}
    clean, attacked = (train(small(**fields, attack=attack)) for attack in (None, vg.MalformedInput()))
    assert clean.accuracy > 0.85
    assert attacked.accuracy > clean.accuracy - 0.15


def test_label_flip_hurts_averaging_more_than_a_robust_chain() -> None:
    rule = vg.chain(vg.NearestNeighborMixing(f=3), vg.TrimmedMean(f=3))
    fields: dict[str, Any] = {"attack": vg.LabelFlip(), "byzantine": 3, "steps": 100}
    runs = (train(small(rule=r, **fields)) for r in (rule, vg.Average()))
    robust, averaged = (fmean(run.metrics["loss"][-40:]) for run in runs)
    assert robust < averaged / 5


def test_only_the_liars_data_is_poisoned() -> None:
    plain, poisoned = World.of(small()), World.of(small(attack=vg.LabelFlip()))
    for worker in range(7):
        clean, flipped = plain.sample(worker, 0, 0), poisoned.sample(worker, 0, 0)
        assert torch.equal(clean[0], flipped[0])
        assert torch.equal(flipped[1], 3 - clean[1] if worker >= 5 else clean[1])
    assert torch.equal(poisoned.data.train_labels, DATA.train_labels)
