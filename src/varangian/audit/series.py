"""What a page draws and a table holds: the numbers behind each figure of an audit."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

UNBOUNDED = "unbounded"
"""How JSON writes an infinite number."""

Number = float | None
"""A number, infinite for what has no bound, or None for what was not measured."""


@dataclass(frozen=True)
class Axis:
    """What is counted along an axis, and in what unit."""

    label: str
    unit: str = ""


@dataclass(frozen=True)
class Line:
    """A curve by name, and its points."""

    name: str
    x: tuple[float, ...]
    y: tuple[Number, ...]


@dataclass(frozen=True)
class Mark:
    """A level worth a line of its own: on the x or the y axis, where, and what it says."""

    axis: str
    at: float
    label: str


@dataclass(frozen=True)
class Curves:
    """Curves over one axis, with marks; ``better`` is "high" or "low"."""

    title: str
    meaning: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    better: str = "low"

    kind: ClassVar[str] = "curves"

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as JSON has it."""
        return {
            "kind": self.kind,
            "title": self.title,
            "meaning": self.meaning,
            "better": self.better,
            "x": vars(self.x),
            "y": vars(self.y),
            "lines": [
                {"name": line.name, "x": list(line.x), "y": [plain(y) for y in line.y]} for line in self.lines
            ],
            "marks": [vars(mark) for mark in self.marks],
        }

    def rows(self) -> Iterator[Sequence[Any]]:
        """Yield the figure as a table, its header first."""
        yield "line", self.x.label, self.y.label
        for line in self.lines:
            yield from ((line.name, x, _cell(y)) for x, y in zip(line.x, line.y, strict=True))


@dataclass(frozen=True)
class Heatmap:
    """A number for every row and column, and the worst of each row; ``better`` is "high" or "low"."""

    title: str
    meaning: str
    rows_label: str
    columns_label: str
    rows_names: tuple[str, ...]
    columns_names: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]
    unit: str = ""
    better: str = "high"

    kind: ClassVar[str] = "heatmap"

    @property
    def worst(self) -> tuple[Number, ...]:
        """Return the worst number of each row that was measured."""
        choose = min if self.better == "high" else max
        measured = [[value for value in row if value is not None] for row in self.values]
        return tuple(choose(row) if row else None for row in measured)

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as JSON has it."""
        return {
            "kind": self.kind,
            "title": self.title,
            "meaning": self.meaning,
            "better": self.better,
            "unit": self.unit,
            "rows_label": self.rows_label,
            "columns_label": self.columns_label,
            "rows": list(self.rows_names),
            "columns": list(self.columns_names),
            "values": [[plain(value) for value in row] for row in self.values],
            "worst": [plain(value) for value in self.worst],
        }

    def rows(self) -> Iterator[Sequence[Any]]:
        """Yield the figure as a table, its header first."""
        yield self.rows_label, *self.columns_names, "worst"
        for name, row, worst in zip(self.rows_names, self.values, self.worst, strict=True):
            yield name, *map(_cell, row), _cell(worst)


Series = Curves | Heatmap


def as_csv(series: Series) -> str:
    """Return the numbers behind a figure as CSV.

    >>> line = Line("mean", (0.0, 1.0), (0.5, math.inf))
    >>> print(as_csv(Curves("", "", Axis("liars"), Axis("error"), (line,))), end="")
    line,liars,error
    mean,0.0,0.5
    mean,1.0,unbounded
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(series.rows())
    return text.getvalue()


def plain(value: Number) -> float | str | None:
    """Return a number as JSON can hold it.

    >>> plain(0.5), plain(math.inf), plain(math.nan), plain(None)
    (0.5, 'unbounded', None, None)
    """
    if value is None or math.isnan(value):
        return None
    return UNBOUNDED if math.isinf(value) else value


def _cell(value: Number) -> float | str:
    told = plain(value)
    return "" if told is None else told
