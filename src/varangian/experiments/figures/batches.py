"""Accuracy against the batch size: a panel per attack, a line per whatever tells runs apart."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from varangian.experiments.figures.groups import By, check_seeds, grouped
from varangian.experiments.figures.sheet import Sheet, plain
from varangian.experiments.figures.style import Style
from varangian.experiments.view import Run, last_accuracy

COLUMNS = ("panel", "line", "batch size", "accuracy (%)", "deviation", "seeds")
Point = tuple[int, float, float, int]


def draw_batches(
    runs: Iterable[Run],
    path: str | os.PathLike[str],
    *,
    line: By = "privacy",
    panel: By = "attack",
    title: str = "",
    evaluations: int = 1,
) -> list[Path]:
    """Draw the mean accuracy over the seeds of the last ``evaluations``, and one deviation to both sides.

    The batch size is drawn on a logarithmic axis. A path without ending is drawn as PNG and as SVG; the
    numbers lie beside as CSV. Returns the files written.

    Raises      ParameterError if a point would average more than seeds; DataError; MissingExtraError
    """
    panels = grouped(runs, panel)
    lines = {place: grouped(held, line) for place, held in panels.items()}
    names = list(dict.fromkeys(name for groups in lines.values() for name in groups))
    styles = {name: Style(number) for number, name in enumerate(names)}
    sheet = Sheet(path, len(panels), title=title)
    sizes = sorted({run.experiment.batch_size for held in panels.values() for run in held})
    handles: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    for axes, (place, groups) in zip(sheet.panels, lines.items(), strict=True):
        for name, held in groups.items():
            points = _points(held, evaluations)
            x, means, deviations = ([point[i] for point in points] for i in range(3))
            look = styles[name].line(len(points)) | {"markevery": 1}
            handles.setdefault(name, axes.errorbar(x, means, deviations, capsize=2, **look))
            rows += [(place, name, *point) for point in points]
        axes.set(xlabel="batch size", ylabel="test accuracy (%)", title=place, xscale="log", ylim=(-3, 103))
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        plain(axes)
    sheet.legend(list(handles.values()), list(handles))
    return sheet.write(COLUMNS, rows)


def _points(runs: list[Run], evaluations: int) -> list[Point]:
    """Return batch size, mean, deviation in percent and number of seeds, by batch size."""
    groups = grouped(runs, "batch_size")
    check_seeds(groups, "batch_size")
    points = []
    for size, held in groups.items():
        values = [100 * last_accuracy(run, evaluations) for run in held]
        points.append((int(size), math.fsum(values) / len(values), statistics.pstdev(values), len(values)))
    return sorted(points)
