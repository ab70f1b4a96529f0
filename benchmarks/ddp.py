"""Measure a training step of PyTorch's DDP on gloo, beside Varangian's hook and FaultWatch.

    python benchmarks/ddp.py [ranks] [million parameters] [rounds] [FILE.json] [batch] [way, way, ...]

One process per rank, one thread each, on this machine. All ways take turns on the same ranks. As root, the
ranks run in a network of their own, and the bytes are those that its loopback device carried, headers and
acknowledgements included; otherwise no bytes are shown.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class Timed(FaultWatch):
    """Counts the seconds of CPU that this rank's watch takes."""

    spent = 0.0

    def look(self, *bucket: Any) -> None:
        """Look, against the clock."""
        self.timed(super().look, *bucket)

    def conclude(self) -> list[Any]:
        """Conclude, against the clock."""
        found: list[Any] = self.timed(super().conclude)
        return found

    def timed(self, call: Callable[..., Any], *given: Any) -> Any:
        """Call, against the clock."""
        start = time.thread_time()
        try:
            return call(*given)
        finally:
            Timed.spent += time.thread_time() - start


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


def ways(n: int) -> dict[str, tuple[Hook, float]]:
    """Return what is compared: how a model is made ready, and the bytes in units of the gradient's."""
    ring, f = 2 * (n - 1) / n, (n - 1) // 2
    robust = vg.chain(vg.NearestNeighborMixing(f=f), vg.TrimmedMean(f=f))
    rules = {"Average": vg.Average(), "Median": vg.Median(f=f), "NNM + TrimmedMean": robust}
    if n >= 5:
        rules["Krum"] = vg.Krum(f=1)
    else:
        rules["Krum(f=0)"] = vg.Krum(f=0)
    return {
        "DDP": (lambda model: None, ring),
        "DDP + FaultWatch": (lambda model: Timed().register(model), ring),
        **{name: (lambda model, rule=rule: register(model, rule), ring) for name, rule in rules.items()},  # type: ignore[misc]
        "all-gather + Median": (gathered, n - 1),
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
    seconds: dict[str, list[float]] = {name: [] for name in table}
    moved: dict[str, list[float]] = {name: [] for name in table}
    watched: list[float] = []
    d = 4 * sum(p.numel() for p in network(size).parameters())
    models = {}
    for name, (ready, _) in table.items():
        models[name] = DistributedDataParallel(network(size))
        ready(models[name])
    for turn in range(rounds + 2):
        for name, model in models.items():
            model.zero_grad()
            dist.barrier()
            Timed.spent = 0.0
            before, start = carried(), time.perf_counter()
            model(x).square().mean().backward()
            dist.barrier()
            if turn > 1:  # DDP rebuilds its buckets after the first
                seconds[name].append(time.perf_counter() - start)
                moved[name].append((carried() - before) / n / d)
                watched += [Timed.spent] * (name == "DDP + FaultWatch")
    if rank == 0:
        found = {"seconds": seconds, "moved": moved, "bytes": d, "sketch": watched, "read": read_once(d)}
        out.write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def read_once(d: int) -> float:
    """Return the seconds in which a core, left alone, adds up as many bytes: no watch can look faster."""
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
    base = statistics.median(found["seconds"]["DDP"])
    rows = []
    for name in chosen:
        formula = ways(n)[name][1]
        median = statistics.median(found["seconds"][name])
        pairs = zip(found["seconds"][name], found["seconds"]["DDP"], strict=True)
        rows.append(
            {
                "way": name,
                "seconds": round(median, 3),
                "times DDP": round(statistics.median(one / other for one, other in pairs), 2),
                "bytes / gradient": round(statistics.median(found["moved"][name]), 3)
                if INSIDE in os.environ
                else None,
                "formula": round(formula, 3),
            }
        )
    sketch = statistics.median(found["sketch"] or [0.0])
    print(f"{n} ranks of gloo, {found['bytes'] / 4e6:.1f} M parameters, batch {batch}, {rounds} rounds")
    print(f"{'':22}{'seconds':>9}{'x DDP':>8}{'bytes/d':>9}{'formula':>9}")
    for row in rows:
        print(
            f"{row['way']:22}{row['seconds']:9}{row['times DDP']:8}"
            f"{row['bytes / gradient']!s:>9}{row['formula']:9}"
        )
    print(
        f"FaultWatch takes {sketch * 1e3:.1f} ms of a core per rank and step: "
        f"{sketch * n / base / cores():.2%} of the step; reading alone takes {found['read'] * 1e3:.1f} ms"
    )
    if path:
        record = {"machine": machine(), "ranks": n, "bytes": found["bytes"], "batch": batch, "rounds": rounds}
        record |= {
            "rows": rows,
            "watch": sketch,
            "read": found["read"],
            "watch_share": sketch * n / base / cores(),
        }
        Path(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def cores() -> int:
    """Return how many cores the ranks share."""
    return int(machine()["cores"])


if __name__ == "__main__":
    arguments = [int(word) if word.isdigit() else word for word in sys.argv[1:]]
    main(*arguments)  # type: ignore[arg-type]
