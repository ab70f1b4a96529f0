"""Where on a drawing a few words stand in nobody's way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LETTER, LINE = 7.5, 14.0
"""About how wide a letter is, and how high."""


@dataclass(frozen=True)
class Box:
    """What a line of text covers."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, text: str, x: float, y: float, side: int) -> Box:
        """Return what text covers that stands on y and runs from x to the right, or to the left for -1."""
        ends = sorted((x, x + side * LETTER * len(text)))
        return cls(ends[0], y - LINE, ends[1], y + 3)

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a point lies under the text.

        >>> Box.of("liars", 10.0, 20.0, 1).holds(12.0, 15.0)
        True
        """
        return self.left <= x <= self.right and self.top <= y <= self.bottom

    def meets(self, other: Box) -> bool:
        """Tell whether two texts overlap."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def crowd(
    box: Box, points: Iterable[tuple[float, float]], taken: Sequence[Box], within: tuple[float, float]
) -> float:
    """Return how much is in the way of a text: points of curves, and above all other texts and the edges."""
    beyond = box.top < within[0] or box.bottom > within[1]
    return sum(box.holds(x, y) for x, y in points) + 1000 * (beyond + sum(box.meets(other) for other in taken))
