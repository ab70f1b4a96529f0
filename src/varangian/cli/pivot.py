"""Runs in groups: the mean of a value, and its spread."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from varangian.cli.selection import shown
from varangian.errors import UnknownNameError
from varangian.experiments.store import Entry

SUMMARISED = ("accuracy", "seconds", "diverged")
"""Values that stand in the summary of a run; all others are the last ones of a column of its metrics."""
APART = ("run", "seed", "data_dir", "device")
"""Fields over which one may average without a word."""


@dataclass(frozen=True)
class Cell:
    """What the runs of a group gave."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean."""
        return mean(self.values)

    @property
    def deviation(self) -> float:
        """Return the standard deviation of a sample (n - 1 in the denominator); NaN for one run."""
        return stdev(self.values) if len(self.values) > 1 else math.nan


def value_of(entry: Entry, name: str) -> float:
    """Return what a run came to: of its summary, or of the last step that measured it.

    Raises      UnknownNameError, DataError
    """
    if name in SUMMARISED:
        return float(getattr(entry, name))
    metrics = entry.result().metrics
    if name not in metrics:
        raise UnknownNameError("value of a run", name, (*SUMMARISED, *metrics))
    # Of a run that left the finite numbers, the last finite one would tell a tale of success.
    return metrics[name][-1] if entry.diverged else metrics.last(name)


def grouped(entries: Iterable[Entry], by: str, columns: str | None, value: str) -> dict[Any, dict[Any, Cell]]:
    """Return the cells, by the first field and then by the second."""
    groups: dict[Any, dict[Any, list[float]]] = {}
    for entry in entries:
        told = shown(entry)
        row = groups.setdefault(told[by], {})
        row.setdefault(told[columns] if columns else value, []).append(value_of(entry, value))
    return {
        row: {column: Cell(tuple(values)) for column, values in cells.items()}
        for row, cells in groups.items()
    }


def averaged_over(entries: list[Entry], by: str, columns: str | None) -> list[str]:
    """Return the other fields that vary within the groups, and so are averaged over, the seed aside."""
    within: dict[Any, list[dict[str, Any]]] = {}
    for entry in entries:
        told = shown(entry)
        within.setdefault((told[by], told[columns] if columns else None), []).append(told)
    mixed = {
        name
        for group in within.values()
        for name in group[0]
        if name not in APART and len({str(told[name]) for told in group}) > 1
    }
    return sorted(mixed)
