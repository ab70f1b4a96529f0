"""The engine that sweeps run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from varangian.engines import Progress, Result, train
from varangian.specification import Experiment


def simulate(
    specs: Sequence[Experiment],
    watch: Callable[[Progress], None] | None = None,
    *,
    checkpoint: Path | None = None,
    every: int = 0,
) -> list[Result]:
    """Return a result for each experiment of a batch."""
    return [train(experiment, watch) for experiment in specs]


def batches(specs: Sequence[Experiment], budget: int | None = None) -> list[list[int]]:
    """Return the indices of experiments that run in one batch."""
    return [[index] for index in range(len(specs))]
