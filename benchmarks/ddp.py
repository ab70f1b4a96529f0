"""Measure a training step of PyTorch's DDP on gloo, beside Varangian's hook and FaultWatch.

    python benchmarks/ddp.py [ranks] [million parameters] [rounds] [FILE.json] [batch] [way, way, ...]

One process per rank, one thread each, on this machine. All ways take turns on the same ranks, in an order
drawn anew for each round; a step clears the gradients, and runs the model forward and backward. As root, the
ranks run in a network of their own, and the bytes are those that its loopback device carried, headers and
acknowledgements included; otherwise no bytes are shown.

"Views" are DDP's gradient_as_bucket_view=True, with zero_grad(set_to_none=False). What a watch costs is the
processor time of a rank, all its threads, beyond that of DDP in the same mode: the mean over rounds, without
the fifths at both ends. Watched and unwatched steps are those of one model, whose hooks are taken off and put
back: two models that do the same differ by 1 % of a step, by where they lie in memory.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import varangian as vg
from varangian.experiments.bench.machine import machine
from varangian.torch import FaultWatch, register

Hook = Callable[[DistributedDataParallel], object]
INSIDE = "VARANGIAN_BENCH_NETWORK"


class Switch:
    """Takes the watch off a model and puts it back, and counts the seconds of CPU spent in this rank's."""

    def __init__(self, model: DistributedDataParallel, x: torch.Tensor) -> None:
        leaves = FaultWatch().register(model)._leaves
        assert leaves is not None
        model(x).square().mean().backward()  # the first pass settles what is hooked
        leaves._end = self._timed(leaves._end)  # type: ignore[method-assign]
        self.spent = 0.0
        hooks = (p._post_accumulate_grad_hooks for p in model.parameters())
        self.places = [model._forward_hooks, *filter(None, hooks)]
        self.hooks = [{name: self._timed(hook) for name, hook in place.items()} for place in self.places]

    def turn(self, on: bool) -> None:
        """Have the model watched, or not."""
        self.spent = 0.0
        for place, hooks in zip(self.places, self.hooks, strict=True):
            place.clear()
            place.update(hooks if on else {})

    def _timed(self, hook: Callable[..., None]) -> Callable[..., None]:
        def timed(*given: object) -> None:
            start = time.thread_time()
            hook(*given)
            self.spent += time.thread_time() - start

        return timed


class Way(NamedTuple):
    """How a model is made ready, bytes in units of the gradient's, whether these are views, and watched."""

    ready: Hook
    formula: float
    views: bool = False
    watched: bool = False


def gathered(model: DistributedDataParallel) -> None:
    """Send every gradient to every rank, and take the median there: what one would write first."""

    def hook(state: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:  # type: ignore[name-defined]
        flat = bucket.buffer()
        rooms = [torch.empty_like(flat) for _ in range(dist.get_world_size())]
        dist.all_gather(rooms, flat)
        flat.copy_(vg.Median(f=1)(rooms))
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(flat)
        return done

    model.register_comm_hook(None, hook)


def ways(n: int) -> dict[str, Way]:
    """Return what is compared."""
    ring, f = 2 * (n - 1) / n, (n - 1) // 2
    robust = vg.chain(vg.NearestNeighborMixing(f=f), vg.TrimmedMean(f=f))
    rules = {"Average": vg.Average(), "Median": vg.Median(f=f), "NNM + TrimmedMean": robust}
    if n >= 5:
        rules["Krum"] = vg.Krum(f=1)
    else:
        rules["Krum(f=0)"] = vg.Krum(f=0)
    return {
        "DDP": Way(lambda model: None, ring),
        "DDP + FaultWatch": Way(lambda model: None, ring, watched=True),
        "views": Way(lambda model: None, ring, views=True),
        "views + FaultWatch": Way(lambda model: None, ring, views=True, watched=True),
        **{name: Way(lambda model, rule=rule: register(model, rule), ring) for name, rule in rules.items()},  # type: ignore[misc]
        "all-gather + Median": Way(gathered, n - 1),
    }


def carried() -> int:
    """Return the bytes that the loopback device has carried."""
    lines = (
        Path("/proc/self/net/dev").read_text(encoding="utf-8").splitlines()
    )  # /sys shows the first network
    return next(int(line.split()[9]) for line in lines if line.strip().startswith("lo:"))


def network(size: int) -> nn.Sequential:
    """Return layers of 1024 x 1024, about as many million parameters."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(1024, 1024), nn.ReLU()) for _ in range(max(1, round(size / 1.05)))]
    return nn.Sequential(*layers)


def rank_of(
    rank: int, n: int, size: int, rounds: int, batch: int, port: int, out: Path, chosen: list[str]
) -> None:
    """Be one rank."""
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, is_master=rank == 0)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n)
    x = torch.randn(batch, 1024, generator=torch.Generator().manual_seed(rank))
    table = {name: ways(n)[name] for name in chosen}
    d = 4 * sum(p.numel() for p in network(size).parameters())
    models = {}
    switches = {}
    for name, way in table.items():
        if way.watched:
            models[name] = models["views" if way.views else "DDP"]
            switches[way.views] = Switch(models[name], x)
            continue
        models[name] = DistributedDataParallel(network(size), gradient_as_bucket_view=way.views)
        way.ready(models[name])
    found: dict[str, dict[str, list[float]]] = {
        of: {name: [] for name in table} for of in ("seconds", "processor", "moved", "inside")
    }
    for turn in range(rounds + 2):
        for name in random.Random(turn).sample(chosen, len(chosen)):
            dist.barrier()
            way, switch = table[name], switches.get(table[name].views)
            if switch and models[name] is models["views" if way.views else "DDP"]:
                switch.turn(way.watched)
            carried_before, busy, start = carried(), time.process_time(), time.perf_counter()
            models[name].zero_grad(set_to_none=not way.views)
            models[name](x).square().mean().backward()
            own = torch.tensor(
                [time.process_time() - busy, switch.spent if switch else 0.0], dtype=torch.float64
            )
            dist.barrier()
            seconds, moved = time.perf_counter() - start, (carried() - carried_before) / n / d
            dist.all_reduce(own)
            if turn > 1:  # DDP rebuilds its buckets after the first
                found["seconds"][name].append(seconds)
                found["processor"][name].append(float(own[0]) / n)
                found["inside"][name].append(float(own[1]) / n)
                found["moved"][name].append(moved)
    if rank == 0:
        out.write_text(json.dumps({**found, "bytes": d, "read": read_once(d)}))
    dist.barrier()
    dist.destroy_process_group()


def cost(watched: list[float], inside: list[float], plain: list[float]) -> dict[str, float]:
    """Return what a watch takes of a rank's processor in a step: in seconds, and as a share of DDP's."""
    more = sorted(one - other for one, other in zip(watched, plain, strict=True))
    kept = more[len(more) // 5 : len(more) - len(more) // 5]
    mean, step, spent = statistics.fmean(kept), statistics.median(plain), statistics.median(inside)
    return {
        "seconds": mean,
        "share": mean / step,
        "error of the share": statistics.pstdev(kept) / len(kept) ** 0.5 / step,
        "seconds inside": spent,
        "share inside": spent / step,
    }


def read_once(d: int) -> float:
    """Return the seconds in which a core, left alone, adds up as many bytes: no watch looks faster."""
    flat = torch.ones(d // 4)
    start = time.thread_time()
    flat.sum()
    return time.thread_time() - start


def main(
    n: int = 4, size: int = 25, rounds: int = 3, path: str = "", batch: int = 128, names: str = ""
) -> None:
    """Run the ranks and print a table."""
    if os.geteuid() == 0 and INSIDE not in os.environ:
        inside = 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$0" "$@"'
        command = ["unshare", "-n", "sh", "-c", inside, sys.executable, *sys.argv]
        sys.exit(
            subprocess.run(
                command, env={**os.environ, INSIDE: "1", "GLOO_SOCKET_IFNAME": "lo"}, check=False
            ).returncode
        )
    chosen = [name.strip() for name in names.split(",")] if names else list(ways(n))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.json")
        processes.spawn(rank_of, (n, size, rounds, batch, 29517, out, chosen), nprocs=n)
        found = json.loads(out.read_text())
    rows = []
    for name in chosen:
        plain = found["seconds"]["views" if ways(n)[name].views else "DDP"]
        pairs = zip(found["seconds"][name], plain, strict=True)
        rows.append(
            {
                "way": name,
                "seconds": round(statistics.median(found["seconds"][name]), 3),
                "times DDP": round(statistics.median(one / other for one, other in pairs), 2),
                "processor": round(statistics.median(found["processor"][name]), 4),
                "bytes / gradient": round(statistics.median(found["moved"][name]), 3)
                if INSIDE in os.environ
                else None,
                "formula": round(ways(n)[name].formula, 3),
            }
        )
    print(f"{n} ranks of gloo, {found['bytes'] / 4e6:.1f} M parameters, batch {batch}, {rounds} rounds")
    print(f"{'':22}{'seconds':>9}{'x DDP':>8}{'processor':>11}{'bytes/d':>9}{'formula':>9}")
    for row in rows:
        print(
            f"{row['way']:22}{row['seconds']:9}{row['times DDP']:8}{row['processor']:11}"
            f"{row['bytes / gradient']!s:>9}{row['formula']:9}"
        )
    costs = {
        name: cost(found["processor"][other], found["inside"][other], found["processor"][name])
        for name, other in (("DDP", "DDP + FaultWatch"), ("views", "views + FaultWatch"))
        if other in chosen
    }
    for name, one in costs.items():
        print(
            f"{name}: {one['seconds inside'] * 1e3:.1f} ms of a rank's processor are spent in FaultWatch, "
            f"{one['share inside']:.2%} of a step; with it, a step takes {one['seconds'] * 1e3:.1f} ms more, "
            f"{one['share']:.2%} ± {one['error of the share']:.2%}"
        )
    print(f"Reading the gradient once takes {found['read'] * 1e3:.1f} ms")
    if path:
        record = {"machine": machine(), "ranks": n, "bytes": found["bytes"], "batch": batch, "rounds": rounds}
        record |= {"rows": rows, "read": found["read"], "watch": costs}
        Path(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    arguments = [int(word) if word.isdigit() else word for word in sys.argv[1:]]
    main(*arguments)  # type: ignore[arg-type]
