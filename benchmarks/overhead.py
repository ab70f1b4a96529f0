"""What it costs to distrust: time to an accuracy, robust against plain averaging, by real processes.

    python benchmarks/overhead.py [--data mnist] [--repeats 3] [--json FILE]

Every way is a cluster over gRPC and mutual TLS on this machine, one after the other: the same experiment,
nobody lies. ``to accuracy`` is from the first step to the first evaluation that is good enough; its overhead
stands beside the one that was published, of other machines, models and data, where each party has a machine
of its own. Here they share the cores: with five servers, five times the aggregation runs on them, and
workers compute no less. The split is the first server's, in milliseconds a step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import varangian as vg
from varangian.core.stages import Stage
from varangian.engines.multiparty.cluster import Cluster
from varangian.engines.multiparty.course import Course
from varangian.engines.multiparty.directory import Directory
from varangian.protocols import Replicated, Single, Synchronous, Topology

WORKERS, PATIENCE = 8, 30.0
SPLIT = ("compute", "communicate", "aggregate", "other")
ALONE = Single(workers=WORKERS, patience=PATIENCE)
SERVERS = Replicated(workers=WORKERS, byzantine_workers=1)
ASKED = Synchronous(workers=WORKERS, byzantine_workers=1)
WAYS: dict[str, tuple[Topology, Stage, str]] = {
    "one server, average": (ALONE, vg.Average(), ""),
    "one server, Multi-Krum": (ALONE, vg.MultiKrum(f=1), "19 % (AggregaThor)"),
    "one server, Multi-Bulyan": (ALONE, vg.MultiBulyan(f=1), "43 % (AggregaThor)"),
    "five servers, MDA": (SERVERS, vg.MinimumDiameterAveraging(f=1), "32 % (ByzSGD)"),
    "five servers that are asked, MDA": (ASKED, vg.MinimumDiameterAveraging(f=1), "32 % (ByzSGD)"),
}


def once(spec: vg.Experiment, topology: Topology, rule: Stage, target: float) -> dict[str, Any]:
    """Train once, and return the seconds to the accuracy, of a step, and where they went."""
    with Cluster(Directory(replace(spec, rule=rule), topology)) as cluster:
        course = Course(cluster)
        course.follow()
        cluster.end()
        metrics, report = course.gathered().metrics, cluster.report("server0")
    rows = list(zip(metrics["seconds"], metrics["accuracy"], strict=True))
    begun = rows[0][0]
    good = [seconds - begun for seconds, accuracy in rows if accuracy >= target]
    return {
        "to_accuracy": min(good, default=float("nan")),
        "step": 1e3 * (rows[-1][0] - begun) / (len(rows) - 1),
        "accuracy": rows[-1][1],
        **{name: 1e3 * report["seconds"][name] / spec.steps for name in SPLIT},
    }


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    spec = vg.Experiment(
        data=asked.data,
        model="mlp",
        workers=WORKERS,
        steps=asked.steps,
        batch_size=83,
        learning_rate=0.1,
        evaluate_every=2,
    )
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(asked.repeats):
        for way, (topology, rule, _published) in WAYS.items():
            found[way].append(once(spec, topology, rule, asked.target))
    middle = {
        way: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for way, runs in found.items()
    }
    base = middle["one server, average"]
    print(f"{WORKERS} workers, {asked.data}, {asked.repeats} runs, medians; load {os.getloadavg()[0]:.1f}")
    columns = (f"to {asked.target:.0%}, s", "overhead", "published", "ms a step", "overhead", *SPLIT)
    print(f"{'':33}", *(f"{name:>18}" if name == "published" else f"{name:>11}" for name in columns))
    for way, one in middle.items():
        over = [f"{one[name] / base[name] - 1:+.0%}" for name in ("to_accuracy", "step")]
        print(
            f"{way:33} {one['to_accuracy']:11.2f} {over[0]:>11} {WAYS[way][2]:>18} {one['step']:11.1f}",
            f"{over[1]:>11}",
            *(f"{one[name]:11.1f}" for name in SPLIT),
        )
    if asked.json:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
        )
        machine = {"commit": commit.stdout.strip(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        told = {"machine": machine, **vars(asked), "json": None, "runs": found}
        asked.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
