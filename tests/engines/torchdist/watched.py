"""Checks of what FaultWatch looks at; each runs on all ranks at once and says what it found."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from typing import Any
from weakref import ref

import torch
import torch.distributed as dist
from engines.torchdist.jobs import ODD, apart, backward, batch, ddp, model
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import varangian as vg
from varangian.engines.torchdist.leaves import LARGE, Leaves
from varangian.engines.torchdist.sketch import Sketch
from varangian.torch import FaultWatch


class Branches(nn.Module):
    """Has a branch with large parameters behind small ones, and one of small ones.

    What is named in ``again`` is computed twice, by a checkpoint: a run of autograd within the run brings it.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        wide = round(LARGE**0.5)
        self.into, self.large = nn.Linear(ODD[0], wide), nn.Linear(wide, wide)
        self.small = nn.Linear(*ODD[:2])
        self.again = ""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self._of("large", self._of("into", x.requires_grad_()).tanh())
        return first.square().mean(), self.small(x).square().mean()

    def _of(self, name: str, x: Tensor) -> Tensor:
        layer = getattr(self, name)
        result: Tensor = checkpoint(layer, x, use_reentrant=True) if name == self.again else layer(x)
        return result


@contextmanager
def sketches(net: DistributedDataParallel) -> Iterator[tuple[list[Tensor], Leaves]]:
    """Have a watch look at a model; give what it sees of every pass, and what looks."""
    watch, taken = FaultWatch().register(net), list[Tensor]()
    assert watch._leaves is not None
    sketch_of = watch._sketch.of

    def kept(*given: Any) -> Tensor:
        taken.append(sketch_of(*given))
        return taken[-1]

    watch._sketch.of = kept  # type: ignore[method-assign]
    yield taken, watch._leaves


def sketched(net: nn.Module) -> Tensor:
    """Return the sketch of a model's gradients."""
    sketch = Sketch(vg.Stream(0))
    for place, p in enumerate(net.parameters()):
        assert p.grad is not None
        sketch.add(p.grad.flatten(), place)
    return sketch.taken()


def seen(n: int, rank: int) -> dict[str, list[float]]:
    """Compare what a watch sees of three passes with the gradients."""
    found: dict[str, list[float]] = {}
    for views in (False, True):
        net, own = ddp(gradient_as_bucket_view=views), model()
        with sketches(net) as (taken, _):
            for step in range(3):
                net.zero_grad(set_to_none=not views)
                own.zero_grad()
                backward(net, rank, step)
                backward(own, rank, step)
                found.setdefault(f"views: {views}", []).append(apart(taken[step], sketched(own)))
        assert len(taken) == 3
    return found


def at_once(net: nn.Module, x: Tensor) -> None:
    sum(net(x)).backward()


def one_by_one(net: nn.Module, x: Tensor) -> None:
    for loss in net(x):
        loss.backward()


def large_again(net: nn.Module, x: Tensor) -> None:
    getattr(net, "module", net).again = "large"
    at_once(net, x)


def small_again(net: nn.Module, x: Tensor) -> None:
    getattr(net, "module", net).again = "into"
    at_once(net, x)


def added_up(net: nn.Module, x: Tensor) -> None:
    with net.no_sync() if isinstance(net, DistributedDataParallel) else nullcontext():
        at_once(net, x)
    at_once(net, x)


def late_zeros(net: nn.Module, x: Tensor) -> None:
    loss = sum(net(x))
    net.zero_grad()
    loss.backward()


def in_turn(net: nn.Module, x: Tensor) -> None:
    (one_by_one if dist.get_rank() else at_once)(net, x)


RUNS = {
    at_once: 1,
    one_by_one: 2,
    large_again: 2,
    small_again: 2,
    added_up: 1,
    late_zeros: 1,
    in_turn: 2,
}
"""Ways of a pass, and how many runs of autograd it has, on rank 1 at least."""


def settled(n: int, rank: int) -> dict[str, list[float]]:
    """Compare where small gradients may wait for the end of a pass, and where a pass comes to have runs."""
    found = {}
    for later, forgets in product(RUNS, (True, False)):
        for first in (at_once, later):
            net, own, differences, waits = ddp(Branches()), Branches(), [], []
            with sketches(net) as (taken, leaves):
                for step, way in enumerate([first, first, later, later, later]):
                    for one in (net, own):
                        one.zero_grad(set_to_none=forgets)
                        way(one, batch(rank, step)[0])
                    differences.append(apart(taken[-1], sketched(own)))
                    waits.append(bool(leaves._late))
            assert len(taken) == len(differences)
            if rank == 1:
                assert waits == [RUNS[first] == 1] * 2 + [RUNS[later] == 1] * 3
            found[f"{first.__name__}, {later.__name__}, {forgets}"] = differences
    return found


def forgotten(n: int, rank: int) -> dict[str, bool]:
    """See that a watched model is freed, once nobody has it any more."""
    net = ddp(Branches())
    watch = FaultWatch().register(net)
    for step in range(3):
        net.zero_grad()
        at_once(net, batch(rank, step)[0])
    kept = [ref(tensor) for p in net.parameters() for tensor in (p, p.grad) if tensor is not None]
    assert len(kept) == 12
    del net
    gc.collect()
    return {"freed": all(tensor() is None for tensor in kept) and not watch.faults}


CHECKS = {"seen": seen, "settled": settled, "forgotten": forgotten}
COUNTS = {"seen": (3,), "settled": (3,), "forgotten": (3,)}
