"""Run experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from varangian.engines import Progress, Result, batches, simulate
from varangian.specification import Experiment

Watch = Callable[[Progress], None]


@overload
def run(experiments: Experiment, watch: Watch | None = None) -> Result: ...
@overload
def run(experiments: Sequence[Experiment], watch: Watch | None = None) -> list[Result]: ...
def run(experiments: Experiment | Sequence[Experiment], watch: Watch | None = None) -> Result | list[Result]:
    """Return the result of an experiment, or one for each of several, those of one shape side by side.

    A run's numbers do not depend on what runs beside it. ``watch`` is told after every step of every batch.

    >>> result = run(Experiment(workers=4, steps=3, model="logistic"))
    >>> len(result.metrics["loss"]), result.diverged
    (3, False)
    >>> both = run([Experiment(steps=30, seed=seed) for seed in (1, 2)])
    >>> all(result.accuracy > 0.8 for result in both)
    True
    """
    if isinstance(experiments, Experiment):
        return simulate([experiments], watch)[0]
    specs, results = list(experiments), dict[int, Result]()
    for places in batches(specs):
        results |= dict(zip(places, simulate([specs[place] for place in places], watch), strict=True))
    return [results[place] for place in range(len(specs))]
