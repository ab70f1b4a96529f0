"""A run draws from its seed and from nothing else."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from engines.by_hand import DATA, small
from torch import nn

import varangian as vg
from varangian.engines.loop import train
from varangian.engines.world import ROOT, World


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, classes))


RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"model": dropping},
    "noise": {"attack": vg.Gaussian(), "rule": vg.Median(f=2)},
    "labels": {"attack": vg.RandomLabel()},
    "buckets": {"rule": vg.chain(vg.Bucketing(f=0, s=2), vg.Average()), "attack": vg.Mimic()},
    "subsets": {"rule": vg.DnC(f=2, coordinates=3), "attack": vg.Optimal(vg.MinMax())},
    "mask": {"rule": vg.Condense(f=2, p=0.5), "attack": vg.SignFlip()},
    "dirichlet": {"split": vg.Dirichlet(0.5)},
}


@pytest.mark.parametrize("name", RUNS)
def test_the_same_experiment_gives_the_same_bits(name: str) -> None:
    spec = small(**RUNS[name])
    first = train(spec)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    again = train(spec)
    assert torch.equal(first.parameters, again.parameters)
    assert {k: np.array(v).tobytes() for k, v in first.metrics.items()} == {
        k: np.array(v).tobytes() for k, v in again.metrics.items()
    }
    other = train(small(**RUNS[name], seed=2))
    assert not torch.equal(first.parameters, other.parameters)


@pytest.mark.parametrize("name", RUNS)
def test_global_generators_are_left_alone(name: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()
    train(small(**RUNS[name]))
    after = torch.get_rng_state(), np.random.get_state()
    assert torch.equal(before[0], after[0])
    np.testing.assert_array_equal(before[1][1], after[1][1])
    assert before[1][2:] == after[1][2:]


def test_pythons_generator_is_left_alone() -> None:
    """Run apart, because the type checks of the test run draw from it."""
    code = """
import random, varangian as vg
vg.load_dataset("digits")  # imports scikit-learn, which draws as it loads
random.seed(1)
before = random.getstate()
rule = vg.chain(vg.Bucketing(f=1, s=2), vg.Median(f=1))
for attack in (vg.Gaussian(), vg.RandomLabel(), vg.Optimal()):
    vg.run(vg.Experiment(workers=5, byzantine=1, rule=rule, attack=attack, model="logistic", steps=2))
assert random.getstate() == before, "moved"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def batches(spec: vg.Experiment) -> list[torch.Tensor]:
    world = World.of(spec)
    honest = range(spec.honest)
    return [
        world.sample(w, step, local)[0] for w in [*honest, ROOT] for step in range(3) for local in range(2)
    ]


def test_samples_depend_on_neither_rule_nor_attack() -> None:
    want = batches(small(byzantine=2))
    for fields in (
        {"rule": vg.Krum(f=2)},
        {"rule": vg.FLTrust()},
        {"attack": vg.SignFlip()},
        {"attack": vg.LabelFlip()},
    ):
        for one, two in zip(want, batches(small(byzantine=2, **fields)), strict=True):
            assert torch.equal(one, two)
    for fields in ({"momentum_at": "server"}, {"model": dropping}, {"learning_rate": 0.5}, {"steps": 3}):
        for one, two in zip(want, batches(small(byzantine=2, **fields)), strict=True):
            assert torch.equal(one, two)
    assert not all(torch.equal(a, b) for a, b in zip(want, batches(small(byzantine=2, seed=2)), strict=True))


def test_the_first_samples_do_not_depend_on_who_lies() -> None:
    one, two = (
        batches(small(byzantine=0, attack=vg.SignFlip())),
        batches(small(byzantine=3, attack=vg.LabelFlip())),
    )
    for a, b in zip(one[: 4 * 6], two[: 4 * 6], strict=True):
        assert torch.equal(a, b)


def test_batches_are_of_the_shard_without_repeats() -> None:
    data = vg.Dataset(
        "numbered",
        torch.arange(70.0)[:, None],
        torch.arange(70) % 2,
        DATA.test_inputs[:, :1],
        DATA.test_labels % 2,
        2,
    )
    world = World.of(small(data=data, split=vg.SortedShards(per_worker=1), batch_size=6, dtype="float32"))
    seen: set[float] = set()
    for worker in range(7):
        mine: set[float] = set()
        for step in range(30):
            values = world.sample(worker, step, 0)[0].flatten().tolist()
            assert len(set(values)) == 6
            mine |= set(values)
        assert len(mine) == 10
        assert not mine & seen
        seen |= mine
    assert len(seen) == 70
    server = {value for step in range(80) for value in world.sample(ROOT, step, 0)[0].flatten().tolist()}
    assert len(server) > 60


def test_workers_steps_and_local_steps_draw_differently() -> None:
    world = World.of(small(batch_size=10))
    first = world.sample(0, 0, 0)[0]
    assert torch.equal(first, world.sample(0, 0, 0)[0])
    for place in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not torch.equal(first, world.sample(*place)[0])


def test_dropout_is_drawn_per_worker_and_step_and_off_in_evaluation_mode() -> None:
    world = World.of(small(model=dropping, batch_size=1000, workers=1, byzantine=0))
    theta = world.flat.get()
    one = world.gradient(theta, 0, 0, 0)[0]
    assert torch.equal(one, world.gradient(theta, 0, 0, 0)[0])
    assert not torch.allclose(one, world.gradient(theta, 0, 1, 0)[0])
    still = World.of(small(model=dropping, batch_size=1000, workers=1, byzantine=0, evaluation_mode=True))
    torch.testing.assert_close(still.gradient(theta, 0, 0, 0)[0], still.gradient(theta, 0, 1, 0)[0])
    still.accuracy(theta)
    torch.testing.assert_close(still.gradient(theta, 0, 0, 0)[0], still.gradient(theta, 0, 1, 0)[0])
    world.accuracy(theta)
    assert torch.equal(one, world.gradient(theta, 0, 0, 0)[0])


def test_buckets_are_shuffled_afresh_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[tuple[int, ...]] = []
    plain = vg.Bucketing.permutation

    def spied(self: vg.Bucketing, n: int, stream: vg.Stream) -> torch.Tensor:
        order = plain(self, n, stream)
        orders.append(tuple(order.tolist()))
        return order

    monkeypatch.setattr(vg.Bucketing, "permutation", spied)
    spec = small(
        rule=vg.chain(vg.Bucketing(f=1, s=2), vg.Median(f=1)), byzantine=1, attack=vg.SignFlip(), steps=8
    )
    train(spec)
    assert len(orders) == 8
    assert len(set(orders)) == 8
    train(spec)
    assert orders[8:] == orders[:8]
