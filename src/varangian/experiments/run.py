"""Run experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from varangian.engines import Progress, Result, train
from varangian.specification import Experiment

Watch = Callable[[Progress], None]


@overload
def run(experiments: Experiment, watch: Watch | None = None) -> Result: ...
@overload
def run(experiments: Sequence[Experiment], watch: Watch | None = None) -> list[Result]: ...
def run(experiments: Experiment | Sequence[Experiment], watch: Watch | None = None) -> Result | list[Result]:
    """Return the result of an experiment, or one for each of several; ``watch`` is told after every step.

    >>> result = run(Experiment(workers=4, steps=3, model="logistic"))
    >>> len(result.metrics["loss"]), result.diverged
    (3, False)
    """
    if isinstance(experiments, Experiment):
        return train(experiments, watch)
    return [train(experiment, watch) for experiment in experiments]
