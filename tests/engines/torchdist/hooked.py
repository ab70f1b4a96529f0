"""Checks of the DDP hook and of robust_all_reduce; each runs on all ranks at once and says what it found."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from engines.torchdist.jobs import (
    apart,
    backward,
    batch,
    ddp,
    error_of,
    everyones,
    gradient,
    model,
    rules,
)
from torch import nn
from torch.distributed.algorithms.join import Join
from torch.nn.functional import cross_entropy

import varangian as vg
from varangian.engines.torchdist import lending
from varangian.torch import FaultWatch, register, robust_all_reduce

LIMIT = 3
SECONDS = 60


def average(n: int, rank: int) -> dict[str, float]:
    """Compare with DDP itself, in units of the last place of what is added up."""
    plain, hooked = ddp(), ddp()
    hook = register(hooked, vg.Average())
    own = backward(model(), rank)
    for _ in range(2):  # DDP rebuilds its buckets after the first
        plain.zero_grad()
        hooked.zero_grad()
        wanted, got = backward(plain, rank), backward(hooked, rank)
    unit = torch.finfo(torch.float32).eps * everyones(own, n).abs().sum(0) / n
    sent = hook.sent / 2 / (4 * got.numel())
    return {"units": float(((got - wanted).abs() / unit).max()), "sent": sent, "d": got.numel()}


def every_rule(n: int, rank: int) -> dict[str, list[float]]:
    """Compare two passes of the hook, and robust_all_reduce, with the rule in this process."""
    own = backward(model(), rank)
    vectors = everyones(own, n)
    found = {}
    for rule in rules(n):
        net = ddp()
        register(net, rule)
        differences = []
        for step in range(2):  # DDP rebuilds its buckets in between
            net.zero_grad()
            got = backward(net, rank)
            wanted = rule(vectors, stream=vg.Stream().at("rule", step=step))
            differences.append(apart(got, wanted))
        alone = robust_all_reduce(own.clone(), rule)
        differences.append(apart(alone, rule(vectors)))
        found[repr(rule)] = differences
    return found


def halves(n: int, rank: int) -> dict[str, float]:
    """Compare on float16, bfloat16 and mixed parameters; by coordinate the bits are the same."""
    found = {}
    for dtype in (torch.float16, torch.bfloat16):
        for rule in (vg.Median(f=0), vg.GeometricMedian(f=0)):
            vectors = everyones(backward(model().to(dtype), rank), n)
            net = ddp(model().to(dtype))
            register(net, rule)
            found[f"{rule} {dtype}"] = apart(backward(net, rank), rule(vectors))
    mixed, single = Mixed(), Mixed()
    vectors = everyones(_wide(backward_mixed(single, rank)), n)
    net = ddp(mixed)
    register(net, vg.MultiKrum(f=0) if n > 2 else vg.Average())
    got = _wide(backward_mixed(net, rank))
    found["mixed"] = apart(got, (vg.MultiKrum(f=0) if n > 2 else vg.Average())(vectors))
    return found


class Mixed(nn.Module):
    """Has parameters of two types."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.narrow = nn.Linear(13, 7).bfloat16()
        self.wide = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.wide(self.narrow(x.bfloat16()).float())
        return result


def backward_mixed(net: nn.Module, rank: int) -> list[torch.Tensor]:
    x, y = batch(rank)
    cross_entropy(net(x), y).backward()
    return [p.grad for p in net.parameters() if p.grad is not None]


def _wide(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.flatten().float() for part in parts])


def accumulated(n: int, rank: int) -> dict[str, float]:
    """Add up three backward passes, of which the last is communicated."""
    rule = vg.chain(vg.NearestNeighborMixing(f=0), vg.Median(f=0))
    alone, net = model(), ddp()
    hook = register(net, rule)
    for step in range(3):
        backward(alone, rank, step)
    with net.no_sync():
        backward(net, rank, 0)
        backward(net, rank, 1)
    quiet = hook.sent
    got = backward(net, rank, 2)
    return {"apart": apart(got, rule(everyones(gradient(alone), n))), "quiet": quiet}


def joined(n: int, rank: int) -> dict[str, Any]:
    """Let rank r have r batches more than the first: who has none left sends zeros."""
    net = ddp()
    register(net, vg.Median(f=(n - 1) // 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Join([net]):
        for step in range(2 + rank):
            optimizer.zero_grad()
            backward(net, rank, step)
            optimizer.step()
    weights = torch.cat([p.detach().flatten() for p in net.parameters()])
    return {"spread": float((everyones(weights, n) - weights).abs().max())}


def memory(n: int, rank: int) -> dict[str, Any]:
    """See that DDP rebuilds its buckets, and what becomes of a rule's memory."""
    rule = vg.CenteredClipping(f=0, radius=0.05)
    net = ddp()
    hook = register(net, rule)
    orders, got = [], []
    for step in range(4):
        net.zero_grad()
        got.append(backward(net, rank, step))
        orders.append(hook._memory[0])
    vectors = [everyones(backward(model(), rank, step), n) for step in range(4)]
    anew, state = [rule(vectors[0])], None
    for one in vectors[1:]:
        outcome = rule.aggregate(one, state=state)
        state = outcome.state
        anew.append(outcome.value)
    return {
        "rebuilt": [before != after for before, after in pairwise(orders)],
        "apart": [apart(one, other) for one, other in zip(got, anew, strict=True)],
    }


def reduced(n: int, rank: int) -> dict[str, Any]:
    """Reduce whatever else: shapes, types, subgroups; in place, and leaving no group behind."""
    rule = vg.Median(f=0)
    before = len(dist.distributed_c10d._world.pg_map)
    found: dict[str, Any] = {}
    for shape in ((), (1,), (2, 3, 5), (1000,)):
        own = torch.randn(shape, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)
        wanted = rule(everyones(own.reshape(-1), n)).reshape(shape)
        result = robust_all_reduce(own, rule)
        found[str(shape)] = apart(own, wanted) if result is own else "not in place"
    signs = torch.randn(9, generator=torch.Generator().manual_seed(rank)).sign()
    votes = everyones(signs, n).sum(0).sign()
    found["signs"] = apart(robust_all_reduce(signs, vg.SignMajority(f=0)), votes)
    sparse = torch.zeros(9)
    sparse[rank] = 1.0
    found["sparse"] = apart(robust_all_reduce(sparse.clone(), vg.Average()), everyones(sparse, n).mean(0))
    matrix = torch.arange(12.0).reshape(3, 4).t() * (rank + 1)
    wanted = rule(everyones(matrix, n).flatten(1)).view(4, 3)
    found["strided"] = apart(robust_all_reduce(matrix.clone(), rule), wanted)
    found["groups left"] = len(dist.distributed_c10d._world.pg_map) - before
    pair = dist.new_group([0, 1])
    if rank < 2:
        own = torch.full((3,), float(rank))
        found["pair"] = float((robust_all_reduce(own, vg.Average(), pair) - 0.5).abs().max())
    return found


@dataclass(frozen=True)
class Broken(vg.Median):
    """Fails in the middle of a call."""

    def program(self, n: int) -> None:
        raise ZeroDivisionError("the rule's own bug")


def refused(n: int, rank: int) -> dict[str, list[str]]:
    """Say what is raised by each mistake."""
    net = ddp()
    register(net, Broken(f=0))
    own = torch.ones(3 + rank)
    return {
        "few": error_of(lambda: register(ddp(), vg.Krum(f=n))),
        "rules": error_of(lambda: register(ddp(), vg.TrimmedMean(f=0) if rank else vg.Median(f=0))),
        "shapes": error_of(lambda: robust_all_reduce(own, vg.Median(f=0))),
        "model": error_of(lambda: register(model(), vg.Median(f=0))),  # type: ignore[arg-type]
        "bug": error_of(lambda: backward(net, rank)),
        "drawn": error_of(lambda: robust_all_reduce(own, vg.Condense(f=0))),
        "pivot": error_of(lambda: register(ddp(), vg.FLTrust(f=0))),
    }


def missing(n: int, rank: int) -> dict[str, Any]:
    """Let the last rank not arrive, at three places; say how long the others wait, and what they hear."""
    places: dict[str, Any] = {}

    def trial(name: str, ready: bool) -> None:
        group = dist.new_group(timeout=timedelta(seconds=SECONDS))
        net = ddp(process_group=group)
        if ready:
            register(net, vg.Median(f=0))
        dist.barrier()
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=LIMIT), group)
        started = time.monotonic()
        if rank < n - 1:
            call = (lambda: backward(net, rank)) if ready else (lambda: register(net, vg.Median(f=0)))
            places[name] = [*error_of(call), time.monotonic() - started]
        dist.barrier()

    trial("register", ready=False)
    trial("backward", ready=True)
    return places


def poisoned(n: int, rank: int) -> dict[str, Any]:
    """Let the last rank send values that are no numbers; nobody's gradient has one."""
    found = {}
    for rule in (vg.Median(f=1), vg.GeometricMedian(f=1), vg.TrimmedMean(f=1)):
        net = ddp()
        register(net, rule)
        x, y = batch(rank)
        loss = cross_entropy(net(x), y)
        (loss * float("nan") if rank == n - 1 else loss).backward()
        found[repr(rule)] = bool(gradient(net).isfinite().all())
    return found


def returned(n: int, rank: int) -> dict[str, int]:
    """Count what threads were lent, and what of it is still held a while later: an exit would wait for it."""
    lending._lent.clear()
    watched, hooked = ddp(), ddp()
    FaultWatch().register(watched)
    register(hooked, vg.CenteredClipping(f=0, radius=0.05), watch=FaultWatch())
    backward(watched, rank)
    backward(hooked, rank)
    robust_all_reduce(torch.ones(5), vg.Average())
    count, end = len(lending._lent), time.monotonic() + SECONDS
    while (held := sum(loan() is not None for loan in lending._lent)) and time.monotonic() < end:
        time.sleep(0.01)
    return {"lent": count, "held": held}


def accounted(n: int, rank: int) -> dict[str, Any]:
    """Compare an accountant beside the hook with one that sees everybody's gradients; let one rank lie."""
    found: dict[str, Any] = {"apart": {}, "same": []}
    f = (n - 1) // 2
    for rule in (
        vg.TrimmedMean(f=f),
        vg.GeometricMedian(f=f),
        vg.chain(vg.AdaptiveClipping(f=f), vg.Average()),
    ):
        beside, whole, net = vg.Accountant(rule), vg.Accountant(rule), ddp()
        register(net, rule, accountant=beside)
        for step in range(3):
            net.zero_grad()
            backward(net, rank, step)
            vectors = everyones(backward(model(), rank, step), n)
            told, wanted = beside.history[-1], whole.step(vectors, rule.aggregate(vectors))
            numbers = [
                torch.tensor(
                    [*one.influence.values(), one.coefficient, one.variance_to_norm, one.clipped or 0.0]
                )
                for one in (told, wanted)
            ]
            found["apart"][f"{rule} {step}"] = apart(*numbers)
            found["same"].append(told.holds == wanted.holds and told.proven == wanted.proven)
    net = ddp()
    register(net, vg.Average(), accountant=vg.Accountant(vg.Average(), warm=3))
    for step in range(6):
        net.zero_grad()
        x, y = batch(rank, step)
        loss = cross_entropy(net(x), y) * (1e4 if step == 5 and rank == n - 1 else 1)
        found["lied"] = error_of(loss.backward)
    return found


CHECKS = {
    "accounted": accounted,
    "average": average,
    "every_rule": every_rule,
    "halves": halves,
    "accumulated": accumulated,
    "joined": joined,
    "memory": memory,
    "reduced": reduced,
    "refused": refused,
    "returned": returned,
    "poisoned": poisoned,
    "missing": missing,
}
ALL = (2, 3, 4)
COUNTS = {
    name: {"missing": (3,), "returned": (4,), "poisoned": (3, 4), "refused": (2, 3)}.get(name, ALL)
    for name in CHECKS
}
