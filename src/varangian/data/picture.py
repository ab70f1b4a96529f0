"""A picture of who holds how many samples of which class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from torch import Tensor

from varangian.errors import DataError, MissingExtraError, ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE = "#0072B2"  # Okabe and Ito: told apart by every kind of eye
_ORANGE = "#D55E00"
_SUFFIXES = (".png", ".svg")
_MOST_TICKS = 30
_ROOMY = 0.36  # inches between two workers, or two classes
_VISIBLE = 1.0  # points squared, for a single sample beside thousands
_TIGHT = 9.0  # inches that many workers, or classes, share


def draw_split(counts: Int[Tensor, "workers classes"], path: str | os.PathLike[str]) -> Path:
    """Draw the counts of ``class_counts`` to a .png or .svg file, and return its path.

    Each bubble's area is a worker's number of samples of a class (a dot, if few); the bars are totals.

    Raises      ParameterError for another suffix or no counts; DataError if the file cannot be written;
                MissingExtraError without matplotlib
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ParameterError(
            f"{path} ends in {path.suffix!r}; name a file that ends in {' or '.join(_SUFFIXES)}."
        )
    if not counts.numel():
        raise ParameterError(f"There is nothing to draw in counts of shape {tuple(counts.shape)}.")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("Drawing a split", "plot") from error

    table = counts.cpu().numpy()
    workers, classes = table.shape
    step = min(_ROOMY, _TIGHT / workers, _TIGHT / classes)
    width, height = max(classes * step, 2.4), max(workers * step, 1.2)
    figure = Figure(figsize=(width + 3.2, height + 1.5), layout="constrained")
    bubbles, bars = figure.subplots(1, 2, sharey=True, width_ratios=(width, 1.6))
    _draw_bubbles(bubbles, table, step)
    _draw_totals(bars, table)
    try:
        figure.savefig(path, dpi=160)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _draw_bubbles(axes: Axes, table: Int[np.ndarray, "workers classes"], step: float) -> None:
    workers, classes = table.shape
    worker, label = np.nonzero(table)
    most = max(int(table.max()), 1)
    largest = (0.92 * step * 72) ** 2  # in points squared: bubbles of neighbours never touch
    sizes = np.maximum(largest * table[worker, label] / most, _VISIBLE)
    axes.scatter(label, worker, s=sizes, color=_BLUE, linewidths=0)
    axes.set(xlim=(-0.7, classes - 0.3), ylim=(workers - 0.3, -0.7), xlabel="class", ylabel="worker")
    axes.set_xticks(_ticks(classes))
    axes.set_yticks(_ticks(workers))
    axes.set_title(f"samples of each class (largest bubble: {most})", fontsize=9, loc="left")
    axes.set_axisbelow(True)
    axes.grid(color="0.92", linewidth=0.6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_totals(axes: Axes, table: Int[np.ndarray, "workers classes"]) -> None:
    totals = table.sum(1)
    axes.barh(np.arange(len(totals)), totals, height=0.6, color=_ORANGE)
    axes.set(xlabel="samples", xlim=(0, max(int(totals.max()), 1) * 1.05))
    axes.set_title("in total", fontsize=9, loc="left")
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _ticks(count: int) -> range:
    """Return every place, or every fifth, tenth, ... where there are many."""
    step = next(step for step in (1, 5, 10, 50, 100, 10**9) if count / step <= _MOST_TICKS)
    return range(0, count, step)
