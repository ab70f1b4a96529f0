"""How lines look: told apart by colour, by dashes and by markers, so that print in grey loses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours without the yellow, which paper swallows."""
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2, 2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
MARKS = 8
"""About so many markers a line."""


@dataclass(frozen=True)
class Style:
    """The look of one line among others."""

    number: int

    @property
    def colour(self) -> str:
        """Return the colour."""
        return COLOURS[self.number % len(COLOURS)]

    def line(self, points: int) -> dict[str, Any]:
        """Return what ``Axes.plot`` takes for a line of so many points; markers do not meet its neighbours'.

        >>> first, second = Style(0).line(100), Style(1).line(100)
        >>> first["linestyle"], first["markevery"], second["markevery"]
        ('-', (0, 12), (3, 12))
        """
        every = max(1, points // MARKS)
        return {
            "color": self.colour,
            "linestyle": DASHES[self.number % len(DASHES)],
            "linewidth": 1.6,
            "marker": MARKERS[self.number % len(MARKERS)],
            "markersize": 4.5,
            "markevery": (3 * self.number % every, every),
        }
