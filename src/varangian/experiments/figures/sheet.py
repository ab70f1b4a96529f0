"""A sheet to draw panels on, and the files that it leaves."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from varangian.errors import DataError, MissingExtraError
from varangian.experiments.written import write_csv

SUFFIXES = (".png", ".svg")
WIDEST = 3
"""So many panels stand side by side."""
LEGEND_WIDTH = 110
"""So many characters of a legend fit under a panel of 10 inches."""
SETTINGS: dict[Any, Any] = {"svg.hashsalt": "varangian"}
"""The same picture is the same file."""


def pictures(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the pictures that a path stands for: itself, or both kinds if it has no ending.

    Raises DataError for another ending, or a folder that is not there.

    >>> [str(picture) for picture in pictures("curves")]
    ['curves.png', 'curves.svg']
    """
    target = Path(path)
    if target.suffix and target.suffix.lower() not in SUFFIXES:
        raise DataError(f"{target} names no kind of picture; end it in {' or '.join(SUFFIXES)}.")
    if not target.parent.is_dir():
        raise DataError(f"{target} cannot be written: there is no folder {target.parent}. Make it first.")
    return (target,) if target.suffix else tuple(target.with_suffix(suffix) for suffix in SUFFIXES)


class Sheet:
    """Panels of one size in rows, one legend below all of them, one title above.

    Raises MissingExtraError without matplotlib, DataError for a path where nothing can be drawn.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        panels: int,
        *,
        title: str = "",
        size: tuple[float, float] = (5, 3.4),
        columns: int | None = None,
    ) -> None:
        self.paths = pictures(path)
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError("Drawing", "plot") from error
        columns = columns or (2 if panels == 4 else min(panels, WIDEST))
        rows = math.ceil(panels / columns)
        self.width = max(columns * size[0], 6.5)
        self.figure = Figure(figsize=(self.width, rows * size[1] + 0.8), layout="constrained")
        grid = self.figure.subplots(rows, columns, squeeze=False)
        self.panels: list[Any] = list(grid.flat)[:panels]
        for empty in list(grid.flat)[panels:]:
            empty.set_axis_off()
        if title:
            self.figure.suptitle(title, fontsize=12)

    def legend(self, handles: Sequence[Any], labels: Sequence[str]) -> None:
        """Put one legend below the panels, as wide as it can be."""
        if not labels:
            return
        longest = max(map(len, labels)) + 6
        columns = max(1, min(len(labels), int(self.width / 10 * LEGEND_WIDTH / longest)))
        rows = math.ceil(len(labels) / columns)
        self.figure.set_figheight(self.figure.get_figheight() + 0.22 * rows)
        look = {"frameon": False, "fontsize": 9, "handlelength": 3}
        self.figure.legend(handles, labels, loc="outside lower center", ncols=columns, **look)

    def write(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[Path]:
        """Write the pictures, and the numbers as CSV beside them; return all paths. Raises DataError."""
        import matplotlib as mpl

        for path in self.paths:
            try:
                with mpl.rc_context(SETTINGS):
                    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
                    self.figure.savefig(path, dpi=150, metadata=metadata)
            except OSError as error:
                raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None
        return [*self.paths, write_csv(self.paths[0].with_suffix(".csv"), columns, rows)]


def plain(axes: Any) -> None:
    """Leave of a panel's frame what is read: two axes and a faint grid."""
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
