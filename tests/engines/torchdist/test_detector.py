"""FaultWatch's arithmetic: no false alarm in a clean run, and every fault that must be named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

import varangian as vg
from varangian.accounting.deviations import ALLOWED, CUT, DECAY
from varangian.data import load_dataset
from varangian.engines.torchdist.detector import Detector, Fault
from varangian.engines.torchdist.sketch import BLOCK, Sketch
from varangian.kernels.tallies import NUMBERS

RATE = 1e-6
Change = Callable[[Tensor, int], Tensor]


def clean(gradients: Tensor, step: int) -> Tensor:
    return gradients


class Job:
    """Trains on the digits with n ranks, in this process, and hands the detector what they would send."""

    def __init__(self, n: int, batch: int, seed: int = 1, poisoned: int | None = None) -> None:
        data = load_dataset("digits")
        self.x, self.y = data.train_inputs.flatten(1), data.train_labels
        self.n, self.batch, self.poisoned = n, batch, poisoned
        self.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.Tanh(), torch.nn.Linear(24, 10))
        self.weights = {name: p.detach() for name, p in net.named_parameters()}

        def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return cross_entropy(functional_call(net, weights, (x,)), y)

        self.gradients = vmap(grad(loss), in_dims=(None, 0, 0))
        self.detector = Detector(n, RATE)
        self.sketch = Sketch(vg.Stream(3))

    def run(self, steps: int, change: Change = clean, lr: float = 0.1) -> list[Fault]:
        faults = []
        for step in range(steps):
            picked = torch.randint(len(self.y), (self.n, self.batch), generator=self.generator)
            labels = self.y[picked]
            if self.poisoned is not None:
                labels[self.poisoned] = 9 - labels[self.poisoned]
            found = self.gradients(self.weights, self.x[picked], labels)
            flat = change(torch.cat([one.flatten(1) for one in found.values()], 1), step)
            faults += self.detector.judge(self.sketches(flat))
            mean = flat[:-1].mean(0) if change is not clean or self.poisoned is not None else flat.mean(0)
            parts = mean.split([p.numel() for p in self.weights.values()])
            for (name, p), part in zip(self.weights.items(), parts, strict=True):
                self.weights[name] = p - lr * part.view_as(p)
        return faults

    def sketches(self, flat: Tensor) -> np.ndarray:
        rows = []
        for one in flat:
            self.sketch.add(one, 0)
            rows.append(self.sketch.taken())
        return torch.stack(rows).numpy()


@pytest.mark.parametrize("n", [3, 4])
def test_a_clean_run_raises_no_alarm(n: int) -> None:
    assert Job(n, batch=32).run(500) == []


@pytest.mark.slow
@pytest.mark.parametrize(("n", "batch"), [(3, 16), (4, 16), (4, 64), (8, 32)])
def test_ten_thousand_clean_steps_raise_no_alarm(n: int, batch: int) -> None:
    assert Job(n, batch).run(10_000) == []


def test_the_model_of_a_clean_run_holds() -> None:
    """Tails of a deviation fall as fast as stated, and slow sums have nothing to climb on."""
    job = Job(4, batch=32)
    seen = []

    def spread(gradients: Tensor, step: int) -> Tensor:
        deviations = job.detector.deviations
        if deviations.compared > deviations.warm:
            seen.append(deviations.last / deviations.spreads())
        return gradients

    job.run(1500, spread)
    z = np.stack(seen)
    for limit in (2.0, 3.0, 4.0, 5.0):
        assert (z > limit).mean() <= np.exp(-DECAY * (limit - 1))
    for column in np.moveaxis(z, -1, 0):
        assert np.exp(np.minimum(column, CUT) - ALLOWED).mean() <= 1


@pytest.mark.parametrize("n", [3, 4, 8])
def test_poisoned_labels_are_named_within_a_hundred_steps_and_nobody_else_is(n: int) -> None:
    faults = Job(n, batch=32, poisoned=n - 1).run(200)
    assert {fault.rank for fault in faults} == {n - 1}
    assert min(fault.step for fault in faults) < 100


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 3e38, 1e6], ids=["nan", "inf", "overflow", "large"]
)
def test_one_value_out_of_all_is_named_at_once(value: float) -> None:
    def change(gradients: Tensor, step: int) -> Tensor:
        changed = gradients.clone()
        if step == 60:
            changed[1, 700] = value
        return changed

    found = Job(4, batch=32).run(61, change)
    assert [(fault.step, fault.rank) for fault in found] == [(60, 1)]


def test_flips_of_an_exponent_bit_are_named_whenever_they_matter() -> None:
    """A flip matters if it moves the value by more than 30 times the longest gradient of all ranks."""
    random = np.random.default_rng(1)
    must: dict[int, bool] = {}

    def change(gradients: Tensor, step: int) -> Tensor:
        changed = gradients.clone()
        if step >= 40 and step % 5 == 0:
            rank, where, bit = (
                random.integers(4),
                random.integers(gradients.shape[1]),
                random.integers(23, 31),
            )
            changed.view(torch.int32)[rank, where] ^= 1 << int(bit)
            moved = float((changed - gradients).abs()[rank, where])
            must[step] = not moved <= 30 * float(gradients.norm(dim=1).max())
            culprits[step] = int(rank)
        return changed

    culprits: dict[int, int] = {}
    job = Job(4, batch=32)
    job.run(20)
    weights = dict(job.weights)
    found = []
    for step in range(20, 400):
        found += job.run(1, lambda gradients, _, step=step: change(gradients, step), lr=0.0)
    job.weights = weights
    named = {fault.step: fault.rank for fault in found}
    assert sum(must.values()) >= 5
    assert all(named.get(step) == culprits[step] for step, matters in must.items() if matters)
    assert all(culprits.get(step) == rank for step, rank in named.items())


@pytest.mark.parametrize("factor", [1.25, 0.8])
def test_a_slow_fault_is_named(factor: float) -> None:
    def change(gradients: Tensor, step: int) -> Tensor:
        scales = torch.ones(len(gradients), 1)
        scales[2] = factor
        return gradients * scales

    found = Job(4, batch=128).run(300, change)
    assert {fault.rank for fault in found} == {2}
    assert "for many steps" in found[0].sign


@pytest.mark.parametrize("d", [1, BLOCK, BLOCK + 1, 5 * BLOCK, 300_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_sketch_measures_what_it_says(d: int, dtype: torch.dtype) -> None:
    flat = torch.randn(d, generator=torch.Generator().manual_seed(d)).to(dtype)
    sketch = Sketch(vg.Stream(1))
    sketch.add(flat, 0)
    made = sketch.taken()
    assert made.shape == (NUMBERS,)
    assert made[0] == 0
    assert float(made[1]) == pytest.approx(float(flat.double().norm()), rel=1e-5)
    assert float(made[4:].square().mean().sqrt()) == pytest.approx(float(made[1]), rel=1.5)
    flat[d // 2] = -flat[d // 2] * 3 + 1
    sketch.add(flat, 0)
    other = sketch.taken()
    assert other[3] != made[3]
    moved = (other[4:] - made[4:]).abs()
    assert bool((moved > 0).all())  # no projection overlooks a single value


def test_buckets_add_up_to_the_whole() -> None:
    flat = torch.randn(10 * BLOCK, generator=torch.Generator().manual_seed(1))
    sketch = Sketch(vg.Stream(1))
    sketch.add(flat[: 4 * BLOCK], 0)
    sketch.add(flat[4 * BLOCK :], 1)
    assert float(sketch.taken()[1]) == pytest.approx(float(flat.norm()), rel=1e-6)
