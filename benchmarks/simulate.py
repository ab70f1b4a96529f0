"""One run and a batch of 16 against a plain PyTorch loop over the workers, side by side.

    python benchmarks/simulate.py [--data-dir DIR] [--rounds N]

MNIST, the 79 510-parameter perceptron, n = 51 of which 24 lie (a little is enough), batches of 83, median,
worker momentum, clipping, an evaluation every 5 steps. Times are medians over rounds that alternate.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import varangian as vg
from varangian.kernels.products import linear

STEPS = 60
RATE = 0.5
SPEC = vg.Experiment(
    data="mnist",
    model="mlp",
    split=vg.Pooled(),
    workers=51,
    byzantine=24,
    rule=vg.Median(f=24),
    attack=vg.ALittleIsEnough(z=1.5),
    batch_size=83,
    steps=STEPS,
    evaluate_every=5,
    learning_rate=RATE,
    momentum=0.9,
    clip=2.0,
)
BATCH = 16


def plain(data: vg.Dataset, spec: vg.Experiment) -> float:
    """Train as one would write it first: a loop over the workers, torch.std, torch.median; no metrics."""
    torch.manual_seed(spec.seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10), nn.LogSoftmax(-1))
    parameters = list(model.parameters())
    memory = [torch.zeros(sum(p.numel() for p in parameters)) for _ in range(spec.honest)]
    right = 0.0
    for step in range(spec.steps):
        for worker in range(spec.honest):
            chosen = torch.randint(len(data.train_labels), (spec.batch_size,))
            loss = nn.functional.nll_loss(model(data.train_inputs[chosen]), data.train_labels[chosen])
            gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])
            norm = gradient.norm()
            if spec.clip is not None and norm > spec.clip:
                gradient *= spec.clip / norm
            memory[worker] = spec.momentum * memory[worker] + gradient
        sent = torch.stack(memory)
        forged = sent.mean(0) - 1.5 * sent.std(0)
        received = torch.cat([sent, forged.expand(spec.byzantine, -1)])
        aggregated = received.median(0).values
        with torch.no_grad():
            start = 0
            for part in parameters:
                part.sub_(RATE * aggregated[start : start + part.numel()].view(part.shape))
                start += part.numel()
            if (step + 1) % spec.evaluate_every == 0:
                right = float((model(data.test_inputs).argmax(-1) == data.test_labels).float().mean())
    return right


def product_rate() -> float:
    """Return how many GFLOP/s the products of this model reach here."""
    x, w = torch.randn(27 * 83, 784), torch.randn(784, 100)
    begun = time.perf_counter()
    for _ in range(20):
        linear(x, w.mT)
    return 20 * 2 * 27 * 83 * 784 * 100 / (time.perf_counter() - begun) / 1e9


def commit() -> str:
    """Return the commit that is timed."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    here = Path(__file__).parent
    return subprocess.run(asked, capture_output=True, text=True, check=False, cwd=here).stdout.strip()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Print the machine, the times, the ratios, and the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("VARANGIAN_DATA"))
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    data = vg.load_dataset("mnist", given.data_dir)
    spec = replace(SPEC, data=data)
    many = [replace(spec, seed=seed) for seed in range(1, BATCH + 1)]
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "plain loop": (1, lambda: plain(data, spec)),
        "one run": (1, lambda: vg.run(spec)),
        f"a batch of {BATCH}": (BATCH, lambda: vg.run(many)),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    rates = []
    for _, work in works.values():
        work()
    for _ in range(given.rounds):
        rates.append(product_rate())
        for name, (runs, work) in works.items():
            times[name].append(1e3 * timed(work) / STEPS / runs)
    honest = spec.honest
    flops = honest * spec.batch_size * (2 * 784 * 100 * 2 + 2 * 100 * 10 * 3)
    rate = statistics.median(rates)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"commit {commit()}; n = 51, f = 24, batch 83, d = 79 510, {STEPS} steps, {given.rounds} rounds")
    print(f"floor: {flops / 1e9:.2f} GFLOP a step at {rate:.0f} GFLOP/s: {flops / rate / 1e6:.1f} ms")
    base = times["plain loop"]
    for name, values in times.items():
        ratio = statistics.median(slow / fast for slow, fast in zip(base, values, strict=True))
        spent = f"{statistics.median(values):7.1f} ms a step and run (least {min(values):.1f})"
        print(f"{name:14} {spent}, {ratio:5.1f} times the plain loop's speed")


if __name__ == "__main__":
    main()
