"""From numbers to places on a drawing, and where its ticks stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

HUGE = 1e100
"""What is greater is drawn as if it were this."""


@dataclass(frozen=True)
class Scale:
    """A stretch of numbers, drawn from ``start`` to ``end``, in proportion or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False
    finest: float = 0.0

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        start: float,
        end: float,
        *,
        decades: float = math.inf,
        counts: bool = False,
    ) -> Scale:
        """Return a scale over the finite numbers among these, and zero, rounded to its ticks.

        Positive numbers that span more than so many powers of ten are drawn by their logarithm. Between
        ``counts``, if they are whole, stands no tick.
        """
        finite = [min(max(value, -HUGE), HUGE) for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if low > 0 and math.log10(high) - math.log10(low) > decades:
            return cls(
                10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)), start, end, True
            )
        low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            high = 1.0
        finest = 1.0 if counts and all(value == round(value) for value in finite) else 0.0
        step = _step(high - low, finest)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(step * first, step * last, start, end, finest=finest)

    def place(self, value: float) -> float:
        """Return where a number stands; one beyond the scale stands at its end.

        >>> Scale(0.0, 10.0, 100.0, 200.0).place(5.0), Scale(1.0, 100.0, 0.0, 1.0, True).place(10.0)
        (150.0, 0.5)
        """
        inside = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = (math.log(inside) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers along the scale.

        >>> Scale.over([0.0, 0.93], 0.0, 1.0).ticks()
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        """
        if self.logarithmic:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1, 1 + (last - first) // 6)]
        step = _step(self.high - self.low, self.finest)
        first = math.ceil(self.low / step - 1e-9)
        return [float(f"{step * k:.12g}") for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _step(stretch: float, finest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of which about five make the stretch."""
    power = 10.0 ** math.floor(math.log10(stretch / 4))
    steps = (power, 2 * power, 5 * power, 10 * power)
    return max(finest, next(step for step in steps if stretch / step <= 6))
