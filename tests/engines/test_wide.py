"""Samples that are large enough to be read where they lie give the loop's numbers, alone and in company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from engines.by_hand import images, small
from torch import nn

import varangian as vg
from varangian.engines import simulate, train
from varangian.kernels.scattered import Scattered
from varangian.privacy import Privacy

WIDE = images(features=100)
BOUNDS = {"float32": 1e-5, "float64": 1e-10}

VARIANTS: dict[str, dict[str, Any]] = {
    "clipped": {"clip": 0.5},
    "never clipped": {"clip": None},
    "clip that never bites": {"clip": 1e6},
    "penalties and clip": {"clip": 0.5, "l1": 0.01, "l2": 0.02},
    "private batches": {"privacy": Privacy(epsilon=0.5, norm=0.3, clip="batch")},
    "private samples": {"privacy": Privacy(epsilon=0.5, norm=0.3)},
    "local steps": {"local_steps": 2, "clip": 0.5},
    "nesterov": {"nesterov": True, "clip": 0.5},
    "poisoned labels": {"attack": vg.LabelFlip(), "clip": 0.5},
    "trusted vector": {"rule": vg.FLTrust(), "clip": 0.5},
    "shards smaller than a batch": {"split": vg.Dirichlet(0.2), "batch_size": 60, "clip": 0.5},
}


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(100, 110), nn.ReLU(), nn.Linear(110, 4), nn.LogSoftmax(-1)
        )


def wide(**fields: Any) -> vg.Experiment:
    given = {"rule": vg.Median(f=2), "attack": vg.SignFlip(), "batch_size": 25, "split": vg.Pooled()}
    return small(**{"data": WIDE, "model": network(), "loss": "nll", "steps": 6, **given, **fields})


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_is_the_loops(name: str, dtype: str) -> None:
    spec = wide(dtype=dtype, **VARIANTS[name])
    (got,), want = simulate([spec]), train(spec)
    apart = (got.parameters.double() - want.parameters.double()).norm() / want.parameters.double().norm()
    assert float(apart) <= BOUNDS[dtype]
    torch.testing.assert_close(torch.tensor(got.metrics["loss"]), torch.tensor(want.metrics["loss"]))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", BOUNDS)
def test_in_company_to_the_bit(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    plain = Scattered.outer_sums

    def counted(self: Scattered, delta: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        read.append(len(delta))
        return plain(self, delta, out)

    monkeypatch.setattr(Scattered, "outer_sums", counted)
    model = network()
    specs = [
        wide(model=model, dtype=dtype, clip=0.5, learning_rate=0.05 * seed, seed=seed) for seed in range(1, 6)
    ]
    together = simulate(specs)
    assert read, "nothing was read where it lies"
    for spec, got in zip(specs, together, strict=True):
        (alone,) = simulate([replace(spec)])
        assert torch.equal(got.parameters, alone.parameters)
        for name, column in alone.metrics.items():
            one, other = torch.tensor(got.metrics[name]), torch.tensor(column)
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("compiled")
def test_in_any_number_of_lanes_to_the_bit() -> None:
    spec, made = wide(dtype="float32", clip=0.5), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(simulate([spec])[0])
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert torch.equal(other.parameters, made[0].parameters)
        assert other.metrics["loss"] == made[0].metrics["loss"]
