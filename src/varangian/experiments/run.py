"""Run experiments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import overload

from varangian.accounting import Accountant
from varangian.engines import Engine, Progress, Result, batches, simulate
from varangian.errors import ParameterError
from varangian.kernels.lanes import each
from varangian.specification import Experiment

Watch = Callable[[Progress], None]


class _Over(Exception):  # noqa: N818 (no error, the end of what nobody waits for)
    """Ends a batch in its lane."""


@overload
def run(
    experiments: Experiment,
    watch: Watch | None = None,
    *,
    engine: Engine | None = None,
    accountant: Accountant | None = None,
) -> Result: ...
@overload
def run(
    experiments: Sequence[Experiment], watch: Watch | None = None, *, engine: Engine | None = None
) -> list[Result]: ...
def run(
    experiments: Experiment | Sequence[Experiment],
    watch: Watch | None = None,
    *,
    engine: Engine | None = None,
    accountant: Accountant | None = None,
) -> Result | list[Result]:
    """Return the result of an experiment, or one for each of several, those of one shape side by side.

    A run's numbers do not depend on what runs beside it. ``watch`` is told after every step of every batch;
    batches take turns, as many at once as PyTorch has threads. On another ``engine`` than the simulator,
    experiments run one after the other.

    An ``accountant`` is told what the rule takes and gives in every step of one experiment on the simulator,
    and ends it where too many are suspected.

    >>> result = run(Experiment(workers=4, steps=3, model="logistic"))
    >>> len(result.metrics["loss"]), result.diverged
    (3, False)
    >>> both = run([Experiment(steps=30, seed=seed) for seed in (1, 2)])
    >>> all(result.accuracy > 0.8 for result in both)
    True
    """
    if accountant is not None and (engine is not None or not isinstance(experiments, Experiment)):
        raise ParameterError(
            "accountant= keeps the books of one experiment, and on the simulator: run it alone."
        )
    if engine is not None:
        if isinstance(experiments, Experiment):
            return engine.run(experiments, watch)
        return [engine.run(spec, watch) for spec in experiments]
    if isinstance(experiments, Experiment):
        return simulate([experiments], watch, accountants=[accountant])[0]
    specs, over = list(experiments), threading.Event()

    def told(progress: Progress) -> None:
        if over.is_set():
            raise _Over
        if watch is not None:
            watch(progress)

    def batch(places: list[int]) -> list[Result]:
        return simulate([specs[place] for place in places], told)

    cut = batches(specs)
    # A batch by itself shares out its own work; a card takes its orders from one thread.
    on_cards = any(not spec.device.startswith("cpu") for spec in specs)
    made = [batch(places) for places in cut] if len(cut) == 1 or on_cards else each(batch, cut, over)
    results: dict[int, Result] = {}
    for places, several in zip(cut, made, strict=True):
        results |= dict(zip(places, several, strict=True))
    return [results[place] for place in range(len(specs))]
