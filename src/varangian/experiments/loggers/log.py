"""What a logger is: it takes rows of numbers while a run goes on, or all of them when it is over."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from varangian.core.chain import Chain
from varangian.core.stages import Stage
from varangian.engines import Progress, Result
from varangian.specification import Experiment, RuleMixture, identity
from varangian.specification.names import canonical

LONGEST = 100


class Log(ABC):
    """The log of one run: a ``watch``, and a context that closes it."""

    @abstractmethod
    def log(self, row: Mapping[str, float], step: int) -> None:
        """Take in the numbers of a step, all of which were measured."""

    def close(self) -> None:
        """Write what is still to be written."""

    def __call__(self, stand: Progress) -> None:
        """Take in where a run stands."""
        self.log(_measured(stand.row), stand.step)

    def result(self, result: Result) -> None:
        """Take in a run that is over, step by step."""
        names = list(result.metrics)
        for values in zip(*result.metrics.values(), strict=True):
            row = dict(zip(names, values, strict=True))
            self.log(_measured(row), int(row["step"]))

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tracker(Log):
    """A log of whatever has a method ``log(numbers, step=...)``, such as a run of Weights & Biases.

    >>> class Printer:
    ...     def log(self, numbers, step):
    ...         print(step, sorted(numbers)[:2])
    >>> from varangian.experiments import run
    >>> _ = run(Experiment(model="logistic", workers=4, steps=2), Tracker(Printer()))
    1 ['aggregated_largest', 'aggregated_norm']
    2 ['accuracy', 'aggregated_largest']
    """

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Hand the numbers over."""
        self.tracker.log(dict(row), step=step)


class Destination(ABC):
    """Where the logs of many runs are kept, each once."""

    @abstractmethod
    def start(self, experiment: Experiment) -> Log:
        """Return the log of a run that is about to begin. Raises MissingExtraError, DataError."""

    @abstractmethod
    def holds(self, experiment: Experiment) -> bool:
        """Tell whether the log of a run is here, whole."""

    def record(self, result: Result) -> None:
        """Take in a run that is over, unless it is here already. Raises MissingExtraError, DataError."""
        if not self.holds(result.experiment):
            with self.start(result.experiment) as log:
                log.result(result)


def title(experiment: Experiment) -> str:
    """Return a name that a person can read and no other run has.

    >>> title(Experiment(seed=3))
    'average_none_seed3_...'
    """
    attack = canonical(type(experiment.attack)) if experiment.attack else "none"
    words = f"{_rule(experiment.rule)}_{attack}"[:LONGEST]
    return f"{words}_seed{experiment.seed}_{identity(experiment)[:8]}"


def _rule(rule: Stage | RuleMixture) -> str:
    if isinstance(rule, RuleMixture):
        return "-or-".join(map(_rule, rule.rules))
    if isinstance(rule, Chain):
        return "-".join(map(_rule, rule.parts))
    return canonical(type(rule))


def _measured(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "step" and not math.isnan(value)}
