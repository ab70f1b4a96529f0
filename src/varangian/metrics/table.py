"""A table of numbers, a row per step; what was not measured at a step is NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence


class Table(Mapping[str, list[float]]):
    """Columns by name, all of one length; ``pandas.DataFrame(dict(table))`` reads it.

    >>> table = Table()
    >>> table.append({"step": 1, "loss": 2.0})
    >>> table.append({"step": 2, "accuracy": 0.5})
    >>> table["accuracy"], table.last("loss")
    ([nan, 0.5], 2.0)
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {}
        self._rows = 0

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[float]]) -> Table:
        """Return a table of whole columns, all of one length."""
        table = cls()
        table._columns = {name: list(column) for name, column in columns.items()}
        table._rows = len(next(iter(table._columns.values()), []))
        return table

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; new columns start with NaN."""
        for name in row:
            self._columns.setdefault(name, [math.nan] * self._rows)
        for name, column in self._columns.items():
            column.append(float(row.get(name, math.nan)))
        self._rows += 1

    def last(self, name: str) -> float:
        """Return the last number measured in a column; NaN if there is none."""
        column = self._columns.get(name, [])
        return next((value for value in reversed(column) if not math.isnan(value)), math.nan)

    def measured(self, x: str, y: str) -> tuple[list[float], list[float]]:
        """Return the points of two columns where the second was measured."""
        pairs = [(a, b) for a, b in zip(self[x], self[y], strict=True) if not math.isnan(b)]
        return [a for a, _ in pairs], [b for _, b in pairs]

    def __getitem__(self, name: str) -> list[float]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)
