"""Pictures of runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from varangian.engines import Result
from varangian.errors import DataError, MissingExtraError
from varangian.experiments.figures.sheet import SUFFIXES
from varangian.experiments.figures.style import Style


def draw_runs(results: Mapping[str, Result], path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw test accuracy against step, a line per run, as PNG or SVG by the path's ending; no CSV.

    Raises MissingExtraError without matplotlib, DataError for a path that cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingExtraError("Drawing", "plot") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (label, result) in enumerate(results.items()):
        steps, accuracy = result.metrics.measured("step", "accuracy")
        percent = [100 * value for value in accuracy]
        told = f"{label}: {percent[-1]:.1f} %"
        axes.plot(steps, percent, **Style(number).line(len(steps)), label=told)
    axes.set(xlabel="step", ylabel="test accuracy (%)", ylim=(-2, 102), title=title)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False)
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise DataError(f"{target} names no kind of picture; end it in {' or '.join(SUFFIXES)}.")
    try:
        figure.savefig(target, dpi=150)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}.") from None
    return target
