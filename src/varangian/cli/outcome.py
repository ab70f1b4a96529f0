"""What came of the runs, as a table and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from varangian.cli.console import table
from varangian.cli.runs import liars
from varangian.engines import Result
from varangian.specification import Experiment

COLUMNS = ("who lies", "rule", "test accuracy (%)", "seconds")
NUMBERS = ("test accuracy (%)", "seconds")
TELLING = 0.05
"""Fewer points than this are shown as 0.0."""


def headline(spec: Experiment) -> str:
    """Return what all runs have in common."""
    model = spec.model if isinstance(spec.model, str) else repr(spec.model)
    size = f"{_count(spec.workers, 'worker')}, {_count(spec.steps, 'step')}"
    parts = [f"{spec.data}, {model}, {size}, seed {spec.seed}"]
    if spec.byzantine and spec.attack:
        parts.append(f"attack {spec.attack!r}")
    return "; ".join(parts)


def outcome_table(results: Iterable[Result]) -> Table:
    """Return a row per run: who lies, under which rule, and what came of it."""
    return table(COLUMNS, map(_row, results), numbers=NUMBERS)


def verdict(calm: Result, averaged: Result, robust: Result) -> str:
    """Return what the attack costs plain averaging, and what it costs the rule, in percentage points."""
    plain, guarded = (_cost(calm.accuracy - attacked.accuracy) for attacked in (averaged, robust))
    return f"Plain averaging {plain}; {robust.experiment.rule!r} {guarded}."


def _row(result: Result) -> Sequence[str]:
    spec = result.experiment
    accuracy = f"{100 * result.accuracy:.1f}"
    told = f"diverged {accuracy}" if result.diverged else accuracy
    return liars(spec), repr(spec.rule), told, f"{result.seconds:.1f}"


def _cost(share: float) -> str:
    """Return what is lost or gained.

    >>> _cost(0.853), _cost(-0.003), _cost(0.0)
    ('loses 85.3 points', 'gains 0.3 points', 'loses nothing')
    """
    points = 100 * share
    if abs(points) < TELLING:
        return "loses nothing"
    return f"{'loses' if points > 0 else 'gains'} {abs(points):.1f} points"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
