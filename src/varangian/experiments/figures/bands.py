"""Means and deviations over seeds, step by step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from varangian.experiments.view import Run, measured


@dataclass(frozen=True)
class Band:
    """What several seeds measured: the steps at which all of them did, their mean and deviation there.

    ``broken`` tells that a run left the finite numbers; the band ends before the first step where one has.
    """

    steps: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    seeds: int
    broken: bool


def band(runs: Sequence[Run], column: str, scale: float = 1.0) -> Band:
    """Return the band of a column over runs that differ in their seed, times ``scale``.

    >>> from varangian.experiments.view import Trace
    >>> from varangian.specification import Experiment
    >>> losses = [1.0, 2.0], [3.0, math.inf]
    >>> runs = [Trace(Experiment(), {"step": [1, 2], "loss": loss}) for loss in losses]
    >>> band(runs, "loss")
    Band(steps=(1.0,), means=(2.0,), deviations=(1.0,), seeds=2, broken=True)
    """
    found: list[dict[float, float]] = []
    broken = False
    for run in runs:
        steps, values = measured(run, column)
        finite = next((i for i, value in enumerate(values) if not math.isfinite(value)), len(values))
        loss = run.metrics.get("loss", ())
        broken = broken or finite < len(values) or (len(loss) > 0 and not math.isfinite(loss[-1]))
        found.append(dict(zip(steps[:finite], values[:finite], strict=True)))
    common = sorted(set.intersection(*(set(held) for held in found)))
    columns = [[scale * held[step] for held in found] for step in common]
    return Band(
        tuple(common),
        tuple(math.fsum(values) / len(values) for values in columns),
        tuple(statistics.pstdev(values) for values in columns),
        len(runs),
        broken,
    )
