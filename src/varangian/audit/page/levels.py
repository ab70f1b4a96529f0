"""Levels across a drawing, each with a few words where they stand in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from varangian.audit.page.markup import Markup, tag
from varangian.audit.page.scales import Scale

LETTER, LINE = 7.5, 14.0
"""About how wide a letter is, and how high."""

Spot = tuple[float, float, int]
"""Where words stand: x, the line under them, and 1 if they run from there to the right, -1 to the left."""


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


def levels(
    marks: Sequence[Mapping[str, Any]], x: Scale, y: Scale, inked: Sequence[tuple[float, float]]
) -> Iterator[Markup]:
    """Yield a line for each mark of a series, and its words: off the curves, the edges, and other words."""
    taken: list[Box] = []
    for mark in marks:
        words = mark["label"]
        upright = mark["axis"] == "x"
        at = round((x if upright else y).place(mark["at"]), 1)
        path = f"M{at} {y.end}V{y.start}" if upright else f"M{x.start} {at}H{x.end}"
        yield tag("path", d=path, class_="level")

        def crowd(spot: Spot, words: str = words) -> float:
            box = Box.of(words, *spot)
            beyond = box.top < y.end - LINE / 2 or box.bottom > y.start
            beyond |= box.left < x.start - LINE or box.right > x.end + LINE
            others = sum(box.meets(other) for other in taken)
            return sum(box.holds(*place) for place in inked) + 1000 * (beyond + others)

        spot = min(_beside(at, y) if upright else _along(at, x), key=crowd)
        taken.append(Box.of(words, *spot))
        left, foot, side = spot
        yield tag("text", words, x=left, y=foot, class_="note" if side > 0 else "note end")


def _beside(at: float, y: Scale) -> list[Spot]:
    """Return where words may stand to the right and to the left of an upright line, from the top down."""
    feet = range(round(y.end + LINE), round(y.start - LINE / 2), 15)
    return [(at + 5 * side, float(foot), side) for foot in feet for side in (1, -1)]


def _along(at: float, x: Scale) -> list[Spot]:
    """Return where words may stand on and under a level line, at its ends."""
    ends = ((x.end - 2, -1), (x.start + 4, 1))
    return [(end, at + down, side) for end, side in ends for down in (-5, 16, -22)]
