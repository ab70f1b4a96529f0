"""Checks of FSDP2 and of FaultWatch; each runs on all ranks at once and says what it found."""

from __future__ import annotations

import logging
from typing import Any

import torch
from engines.torchdist.jobs import apart, backward, batch, ddp, error_of, everyones, gradient, model
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.distributed.algorithms.join import Join
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.functional import cross_entropy

import varangian as vg
from varangian.torch import FaultWatch, aggregate_gradients, register, register_fsdp


def sharded(mesh: Any, **options: Any) -> nn.Module:
    net = model()
    for layer in net:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh, **options)
    fully_shard(net, mesh=mesh, **options)
    return net


def whole(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.full_tensor().flatten() for p in net.parameters()])  # type: ignore[union-attr]


def pass_over(net: nn.Module, rank: int) -> Tensor:
    x, y = batch(rank)
    cross_entropy(net(x).float(), y).backward()
    return whole(net)


def by_rank(n: int, rank: int) -> dict[str, Any]:
    """Let a worker be a rank: as the rule in process, by AVG, by SUM, in float16, and refused."""
    vectors = everyones(backward(model(), rank), n)
    mesh = init_device_mesh("cpu", (n,))
    found: dict[str, Any] = {}
    for rule in (vg.Average(), vg.TrimmedMean(f=(n - 1) // 2)):
        net = sharded(mesh)
        register_fsdp(net, rule)
        found[repr(rule)] = apart(pass_over(net, rank), rule(vectors))
    rule = vg.Median(f=0)
    summed = sharded(mesh)
    for module in summed.modules():
        if hasattr(module, "set_force_sum_reduction_for_comms"):
            module.set_force_sum_reduction_for_comms(True)
    register_fsdp(summed, rule)
    found["sum"] = apart(pass_over(summed, rank), rule(vectors))
    half = sharded(mesh, mp_policy=MixedPrecisionPolicy(param_dtype=torch.float16))
    register_fsdp(half, rule)
    found["float16"] = apart(pass_over(half, rank), rule(vectors))
    factored = sharded(mesh)
    register_fsdp(factored, rule)
    for module in factored.modules():
        if hasattr(module, "set_gradient_divide_factor"):
            module.set_gradient_divide_factor(7.0)
    found["factor"] = error_of(lambda: pass_over(factored, rank))
    found["geometric"] = error_of(lambda: register_fsdp(sharded(mesh), vg.GeometricMedian(f=0)))
    found["plain"] = error_of(lambda: register_fsdp(model(), rule))
    return found


def by_group(n: int, rank: int) -> dict[str, Any]:
    """Let a worker be a group of ranks: any rule, on the gradients of whole groups."""
    vectors = everyones(backward(model(), rank), n)
    mesh = init_device_mesh("cpu", (2, n // 2), mesh_dim_names=("worker", "shard"))
    workers = vectors.view(2, n // 2, -1).mean(1)
    found: dict[str, Any] = {}
    for rule in (vg.Average(), vg.GeometricMedian(f=0), vg.MultiKrum(f=0) if n > 4 else vg.Median(f=0)):
        net = sharded(mesh["shard"])
        pass_over(net, rank)
        aggregate_gradients(net, rule, mesh["worker"].get_group())
        found[repr(rule)] = apart(whole(net), rule(workers))
    return found


def watched(n: int, rank: int) -> dict[str, Any]:
    """Watch plain averaging: the same bits as DDP; who sends NaN, a huge number, or the same is named."""
    found: dict[str, Any] = {"policies": {}}
    plain, quiet = ddp(), ddp()
    watch = FaultWatch().register(quiet)
    found["apart"] = apart(backward(quiet, rank), backward(plain, rank))
    found["bytes"] = watch.sent
    found["views"] = _of_views(n, rank)
    wrong = n - 1
    for policy in ("log", "drop", "raise"):
        net = ddp()
        watch = FaultWatch(policy).register(net)  # type: ignore[arg-type]
        x, y = batch(rank)
        loss = cross_entropy(net(x), y) * (float("nan") if rank == wrong else 1.0)
        error = error_of(loss.backward)
        finite = bool(gradient(net).isfinite().all()) if error[0] == "nothing" else False
        named = [fault.rank for fault in watch.faults]
        found["policies"][policy] = {"error": error, "finite": finite, "named": named}
        if policy == "drop":
            kept = everyones(backward(model(), rank), n)[:wrong].mean(0)
            found["dropped"] = apart(gradient(net), kept)
    found["named"] = {kind: _named(kind, n, rank) for kind in ("flip", "stale", "copy", "zero")}
    beside = ddp()
    watch = FaultWatch()
    register(beside, vg.Median(f=1), watch=watch)
    x, y = batch(rank)
    (cross_entropy(beside(x), y) * (float("nan") if rank == wrong else 1.0)).backward()
    found["beside"] = [[fault.rank for fault in watch.faults], bool(gradient(beside).isfinite().all())]
    found["refused"] = error_of(lambda: register(ddp(), vg.Median(f=1), watch=FaultWatch("drop")))
    return found


def beside(n: int, rank: int) -> dict[str, Any]:
    """Watch while DDP averages itself, in all its ways; say what came of it, and how often ranks compared."""
    found: dict[str, Any] = {}
    wrong, step = n - 1, 160 * (n - 1)  # bytes that a rank sends in a step
    watch = FaultWatch("raise").register(net := ddp())
    x, y = batch(rank)
    found["error"] = error_of((cross_entropy(net(x), y) * (float("nan") if rank == wrong else 1.0)).backward)[
        0
    ]
    net.zero_grad()
    found["after an error"] = apart(backward(net, rank, 1), backward(ddp(), rank, 1))
    found["steps"] = [watch.sent / step]
    FaultWatch("raise").register(net := ddp(find_unused_parameters=True))
    found["error of buckets"] = error_of(
        (cross_entropy(net(x), y) * (float("nan") if rank == wrong else 1.0)).backward
    )[0]
    net.zero_grad()
    found["after an error of buckets"] = apart(backward(net, rank, 1), backward(ddp(), rank, 1))
    watch = FaultWatch().register(net := ddp())
    with net.no_sync():
        backward(net, rank, 0)
    if rank == 0:
        backward(net.module, rank, 1)  # past DDP, and on one rank only
    found["steps"].append(watch.sent / step)
    backward(net, rank, 2)
    found["steps"].append(watch.sent / step)
    nets = [ddp() for _ in range(2)]
    for one in nets:
        one.register_comm_hook(None, fp16_compress_hook)
    FaultWatch().register(nets[1])
    found["another hook"] = apart(*(backward(one, rank) for one in nets))
    for name, options in (("unused", {"find_unused_parameters": True}), ("static", {"static_graph": True})):
        watch = FaultWatch().register(net := ddp(**options))
        (cross_entropy(net(x), y) * (float("nan") if rank == wrong else 1.0)).backward()
        found[name] = [fault.rank for fault in watch.faults]
    half = ddp(model().bfloat16())
    watch = FaultWatch().register(half)
    found["bfloat16"] = apart(backward(half, rank), backward(ddp(model().bfloat16()), rank))
    (half(x.bfloat16()).sum() * (float("nan") if rank == wrong else 1.0)).backward()
    found["of bfloat16"] = [fault.rank for fault in watch.faults]
    found["joined"] = _joined(rank)
    found["told"] = _told(n, rank)
    return found


def _joined(rank: int) -> int:
    """Let rank r have r batches more than the first; count the alarms."""
    watch = FaultWatch("raise").register(net := ddp())
    with Join([net]):
        for step in range(2 + rank):
            net.zero_grad()
            backward(net, rank, step)
    net.zero_grad()
    backward(net, rank)
    return len(watch.faults)


def _told(n: int, rank: int) -> list[int]:
    """Return after how many steps the log had a warning of a flip in step 25, and when it had one of NaN."""
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("varangian")
    logger.addHandler(handler)
    FaultWatch().register(net := ddp())
    seen = []
    for step in range(40):
        net.zero_grad()
        x, y = batch(rank, step, size=32)
        loss = cross_entropy(net(x), y)
        if rank == n - 1 and step == 25:
            loss = loss + next(net.parameters()).view(-1)[5] * 2.0**20
        (loss * float("nan") if rank == n - 1 and step == 37 else loss).backward()
        seen.append(len(told))
    logger.removeHandler(handler)
    return [seen.index(1), seen.index(2)] if max(seen) == 2 else [-1, max(seen)]


def few(n: int, rank: int) -> list[str]:
    """Watch two ranks."""
    return error_of(lambda: FaultWatch().register(ddp()))


def _of_views(n: int, rank: int) -> float:
    """Compare with DDP where gradients are views of buckets, in units of the last place."""
    nets = [ddp(gradient_as_bucket_view=True) for _ in range(2)]
    FaultWatch().register(nets[1])
    for step in range(3):  # gradients are views from the second on, and buckets are rebuilt by then
        for net in nets:
            net.zero_grad(set_to_none=False)
        wanted, got = (backward(net, rank, step) for net in nets)
    unit = torch.finfo(torch.float32).eps * everyones(backward(model(), rank, 2), n).abs().sum(0) / n
    return float(((got - wanted).abs() / unit).max())


def _named(kind: str, n: int, rank: int) -> list[list[int]]:
    """Return (step, rank) of what is found, where the last rank is wrong in step 25."""
    net = ddp()
    watch = FaultWatch().register(net)
    for step in range(28):
        net.zero_grad()
        last = rank == n - 1 and step == 25
        x, y = batch(rank, step, size=32)
        if last and kind == "stale":
            x, y = batch(rank, step - 1, size=32)
        if last and kind == "copy":
            x, y = batch(0, step, size=32)
        loss = cross_entropy(net(x), y)
        if last and kind == "flip":
            loss = loss + next(net.parameters()).view(-1)[5] * 2.0**20
        (loss * 0 if last and kind == "zero" else loss).backward()
    return [[fault.step, fault.rank] for fault in watch.faults]


CHECKS = {"by_rank": by_rank, "by_group": by_group, "watched": watched, "beside": beside, "few": few}
COUNTS = {"by_rank": (2, 4), "by_group": (4,), "watched": (3, 4), "beside": (3,), "few": (2,)}
