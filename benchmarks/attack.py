"""The white-box search for a factor, beside ByzFL's, against NNM and trimmed mean.

    python benchmarks/attack.py [--json FILE]

ALIE on 20 honest vectors of 1e6 numbers, 5 liars, 20 evaluations each. Ours are called before and after
theirs, whose one call takes half a minute. ByzFL has to be installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import byzfl
import torch

import varangian as vg
from varangian.experiments.bench.machine import machine
from varangian.experiments.bench.timing import timed

F, H, D, EVALUATIONS = 5, 20, 1_000_000, 20
SPREAD = 0.2
ROUNDS = 3


def main() -> None:
    """Measure both, and say who took what and did what harm."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    path = parser.parse_args().json
    x = torch.randn(H, D, generator=torch.Generator().manual_seed(0))
    x *= 1 + SPREAD * torch.arange(H)[:, None] / H
    rule = vg.chain(vg.NearestNeighborMixing(f=F), vg.TrimmedMean(f=F))
    # Eight candidates, one very far, and ALIE's own; then as many between the best one's neighbours.
    attack = vg.Optimal(vg.ALittleIsEnough(), candidates=EVALUATIONS // 2 - 2, rounds=1)
    theirs = byzfl.Optimal_ALittleIsEnough(
        byzfl.TrMean(f=F), pre_agg_list=[byzfl.NNM(f=F)], f=F, evals=EVALUATIONS
    )
    forged: dict[str, torch.Tensor] = {}

    def search() -> None:
        forged["varangian"] = attack(x, b=F, rule=rule)

    def search_as_they_do() -> None:
        forged["ByzFL"] = theirs(x).expand(F, -1)

    search()
    before = [timed(search) for _ in range(ROUNDS)]
    spent = {"ByzFL": [timed(search_as_they_do)]}
    spent["varangian"] = before + [timed(search) for _ in range(ROUNDS)]
    told = {
        name: {
            "wall": statistics.median(one.wall for one in spent[name]),
            "cpu": statistics.median(one.cpu for one in spent[name]),
            "harm": float((rule(torch.cat([x, forged[name]])) - x.mean(0)).norm()),
        }
        for name in spent
    }
    for name, one in told.items():
        print(f"{name}: {one['wall']:.3f} s, {one['cpu']:.3f} s of all cores, harm {one['harm']:.1f}")
    print(f"ByzFL takes {told['ByzFL']['cpu'] / told['varangian']['cpu']:.0f} times our processor time.")
    if path:
        record = {"machine": machine(), "evaluations": EVALUATIONS, "told": told}
        path.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
