"""Train the digits on ranks of which the last is faulty, with plain DDP and with the hook, watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from engines.torchdist.jobs import ddp
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import varangian as vg
from varangian.data import load_dataset
from varangian.torch import FaultWatch, register

STEPS, EVERY, BATCH = 2000, 100, 64
RULE = vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def trained(fault: str, robust: bool, rank: int, n: int) -> dict[str, Any]:
    """Return the accuracy, who was named when, and the flips that moved a value by 30 norms."""
    digits = load_dataset("digits")
    x, y = digits.train_inputs.flatten(1), digits.train_labels
    net = network()
    wrong = rank == n - 1
    flips: dict[int, float] = {}
    step = 0

    def flip(gradient: Tensor) -> Tensor:
        if step % EVERY != EVERY // 2:
            return gradient
        generator = torch.Generator().manual_seed(step)
        where = int(torch.randint(gradient.numel(), (), generator=generator))
        bit = int(torch.randint(23, 31, (), generator=generator))
        changed = gradient.clone()
        changed.view(torch.int32).view(-1)[where] ^= 1 << bit
        flips[step] = float((changed - gradient).norm() / gradient.norm())
        return changed

    if wrong and fault == "flips":
        net[2].weight.register_hook(flip)  # every pixel of the first layer may be a dark one
    model = ddp(net)
    watch = FaultWatch()
    if robust:
        register(model, RULE, watch=watch)
    else:
        watch.register(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(rank)
    for step in range(STEPS):
        picked = torch.randint(len(x), (BATCH,), generator=generator)
        labels = 9 - y[picked] if wrong and fault == "labels" else y[picked]
        optimizer.zero_grad()
        loss = cross_entropy(model(x[picked]), labels)
        (loss * float("nan") if wrong and fault == "nan" and step > STEPS - 100 else loss).backward()
        optimizer.step()
    right = model(digits.test_inputs.flatten(1)).argmax(1) == digits.test_labels
    finite = all(bool(p.isfinite().all()) for p in net.parameters())
    must = [step for step, moved in flips.items() if not moved <= 30]
    named = sorted({(found.step, found.rank) for found in watch.faults})
    return {"accuracy": float(right.float().mean()) if finite else 0.0, "named": named, "must": must}


def fault_of(fault: str, robust: bool) -> Callable[[int, int], dict[str, Any]]:
    return lambda n, rank: trained(fault, robust, rank, n)


CHECKS = {
    f"{fault}, {'hook' if robust else 'DDP'}": fault_of(fault, robust)
    for fault in ("nothing", "labels", "nan", "flips")
    for robust in (False, True)
}
COUNTS = dict.fromkeys(CHECKS, (4,))
