"""What the checks on ranks share: a small model, every rank's batch, gradients of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import varangian as vg
from varangian.core.needs import Pivot

ODD = 13, 101, 37, 3
"""Widths of layers; the number of parameters divides by none of 2, 3 and 4."""
CAP = 0.002
"""Megabytes of a bucket: several buckets for so small a model."""


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    first, second, third, last = ODD
    return nn.Sequential(
        nn.Linear(first, second), nn.Tanh(), nn.Linear(second, third), nn.Tanh(), nn.Linear(third, last)
    )


def batch(rank: int, step: int = 0, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * rank + step)
    x = torch.randn(size, ODD[0], generator=generator)
    return x, torch.randint(0, ODD[-1], (size,), generator=generator)


def gradient(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def backward(net: nn.Module, rank: int, step: int = 0) -> Tensor:
    x, y = batch(rank, step)
    cross_entropy(net(x.to(next(net.parameters()).dtype)), y).backward()
    return gradient(net)


def everyones(own: Tensor, n: int) -> Tensor:
    rooms = [torch.empty_like(own) for _ in range(n)]
    dist.all_gather(rooms, own.clone())
    return torch.stack(rooms)


def ddp(net: nn.Module | None = None, **options: Any) -> DistributedDataParallel:
    return DistributedDataParallel(net or model(), **{"bucket_cap_mb": CAP, **options})


def apart(got: Tensor, wanted: Tensor) -> float:
    """Return the largest difference, relative to the largest number."""
    difference = (got.double() - wanted.double()).abs().max() / wanted.double().abs().max()
    return float(difference) if difference.isfinite() else float("inf")


def error_of(call: Callable[[], object]) -> list[str]:
    """Return the kind and the text of the error that a call raises."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]


def rules(n: int) -> list[vg.Stage]:
    """Return every rule that n ranks suffice for and that needs no trusted vector, with liars if possible.

    Condense is left out: it draws a number per coordinate, and is refused.
    """
    made: list[vg.Stage] = []
    for kind in [kind for kind in vg.RULES if kind is not vg.Condense]:
        options: dict[str, Any] = {"radius": 0.05} if kind is vg.CenteredClipping else {}
        for f in (1, 0):
            rule = kind(f=f, **options)
            trusted = any(Pivot.GIVEN in stage.pivots for stage in rule.stages())
            if rule.condition().holds(n) and not trusted:
                made.append(rule)
                break
    if n > 2:
        made.append(vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1)))
        made.append(vg.chain(vg.AdaptiveClipping(f=1), vg.GeometricMedian(f=1)))
        made.append(vg.chain(vg.Bucketing(f=0, s=2), vg.Median(f=0)))
    return made
