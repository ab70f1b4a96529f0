"""Published numbers beside ours."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from varangian.core.values import Value
from varangian.experiments.written import write_csv

DEVIATIONS = 3
"""Ours agrees if it lies within so many published standard deviations."""
COLUMNS = ("what", "published", "ours", "difference", "agrees")


@dataclass(frozen=True)
class Number(Value):
    """A number, its standard deviation where several seeds made it, and whether it is only a bound.

    >>> print(Number(93.2, 0.21), Number(60, bound=">"), Number(math.nan))
    93.20 ± 0.21 > 60.00 –
    """

    value: float
    spread: float | None = None
    bound: str = ""

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        spread = "" if self.spread is None else f" ± {self.spread:.2f}"
        return f"{self.bound} {self.value:.2f}{spread}".strip()


def mean(values: Iterable[float]) -> Number:
    """Return the mean and the standard deviation (k in the denominator); NaN of nothing.

    Papers of the field state NumPy's deviation, so this one does too.

    >>> mean([1.0, 3.0]), mean([2.0]), mean([])
    (Number(value=2.0, spread=1.0), Number(value=2.0), Number(value=nan))
    """
    held = list(values)
    if not held:
        return Number(math.nan)
    average = math.fsum(held) / len(held)
    return Number(average, statistics.pstdev(held) if len(held) > 1 else None)


def share(hits: int, of: int) -> Number:
    """Return a percentage; NaN of nothing.

    >>> share(1, 4), share(0, 0)
    (Number(value=25.0), Number(value=nan))
    """
    return Number(100 * hits / of if of else math.nan)


@dataclass(frozen=True)
class Line:
    """One number of a paper beside ours; ``what`` says of what, ``runs`` of how many runs ours is made.

    ``published`` is None where the paper states no number for it. ``comparable`` is False where ours comes
    from something else than the paper's setting (a smaller model, fewer steps).
    """

    what: str
    published: Number | None
    ours: Number
    comparable: bool = True

    @property
    def difference(self) -> float | None:
        """Return ours minus the published number, None where either is missing."""
        if self.published is None or math.isnan(self.ours.value):
            return None
        return self.ours.value - self.published.value

    @property
    def agrees(self) -> bool | None:
        """Tell whether ours lies within three published deviations, or beyond the bound; None if unknown."""
        difference = self.difference
        if self.published is None or difference is None or not self.comparable:
            return None
        if self.published.bound:
            return difference > 0 if self.published.bound == ">" else difference < 0
        if self.published.spread is None:
            return None
        return abs(difference) <= DEVIATIONS * self.published.spread

    def cells(self) -> tuple[str, ...]:
        """Return the line as text, a cell per column.

        >>> from varangian.experiments.recipes import Line, Number
        >>> Line("Krum", Number(90.36, 0.25), Number(90.0)).cells()
        ('Krum', '90.36 ± 0.25', '90.00', '-0.36', 'yes')
        """
        difference = "–" if self.difference is None else f"{self.difference:+.2f}"
        agrees = {True: "yes", False: "no", None: "–"}[self.agrees]
        published = "–" if self.published is None else str(self.published)
        return self.what, published, str(self.ours), difference, agrees


@dataclass(frozen=True)
class Comparison:
    """The numbers of a paper beside ours, all in ``unit``, and ``notes`` on how to read them."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    def write_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the lines as CSV and return the path. Raises DataError."""
        return write_csv(path, COLUMNS, [line.cells() for line in self.lines])
