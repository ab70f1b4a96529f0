"""What pictures and reports read of a run, fresh from training or read back from a store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from varangian.specification import Experiment


@runtime_checkable
class Run(Protocol):
    """An experiment and its metrics; a ``Result`` is one, and so is a ``Trace``."""

    @property
    def experiment(self) -> Experiment:
        """Return what was asked."""

    @property
    def metrics(self) -> Mapping[str, Sequence[float]]:
        """Return columns by name, an entry per step, NaN where nothing was measured."""


@dataclass(frozen=True, eq=False)
class Trace:
    """A run without its parameters, as a store gives it back."""

    experiment: Experiment
    metrics: Mapping[str, Sequence[float]]


def measured(run: Run, column: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a column was measured, and its values there; nothing without the column.

    >>> measured(Trace(Experiment(), {"step": [1, 2], "accuracy": [math.nan, 0.5]}), "accuracy")
    ([2.0], [0.5])
    """
    steps, values = run.metrics.get("step", ()), run.metrics.get(column, ())
    pairs = [(float(x), float(y)) for x, y in zip(steps, values, strict=False) if not math.isnan(y)]
    return [x for x, _ in pairs], [y for _, y in pairs]


def best_accuracy(run: Run) -> float:
    """Return the highest accuracy of all evaluations, 0..1; NaN without any."""
    return max(measured(run, "accuracy")[1], default=math.nan)


def last_accuracy(run: Run, evaluations: int = 1) -> float:
    """Return the mean of the last evaluations, 0..1; NaN without any."""
    values = measured(run, "accuracy")[1][-evaluations:]
    return math.fsum(values) / len(values) if values else math.nan
