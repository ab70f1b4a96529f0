"""A metric against the step: a panel per attack, a line per rule, a band over the seeds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from varangian.errors import UnknownNameError
from varangian.experiments.figures.bands import Band, band
from varangian.experiments.figures.groups import By, check_seeds, grouped
from varangian.experiments.figures.sheet import Sheet, plain
from varangian.experiments.figures.style import Style
from varangian.experiments.view import Run

PERCENT = ("accuracy",)
"""Columns that are shares, drawn as percentages."""
WORDS = {"accuracy": "test accuracy (%)", "variance_to_norm": "variance-to-norm ratio"}
"""Columns whose name does not say enough."""
COLUMNS = ("panel", "line", "step", "mean", "deviation", "seeds", "diverged")


def draw_curves(
    runs: Iterable[Run],
    path: str | os.PathLike[str],
    *,
    metric: str = "accuracy",
    line: By = "rule",
    panel: By = "attack",
    title: str = "",
    everywhere: Sequence[str] = (),
    columns: int | None = None,
    finish: Callable[[Any, dict[str, Style], Sequence[Run]], None] | None = None,
) -> list[Path]:
    """Draw the mean of a metric over the seeds, and one deviation to both sides; return the files written.

    ``line`` and ``panel`` are fields of the experiment, or functions of it. The runs of a panel named in
    ``everywhere`` are drawn in all of the others; ``columns`` panels stand side by side. ``finish`` may add
    to a panel. A path without ending is drawn as PNG and as SVG; the numbers lie beside as CSV.

    Raises      ParameterError if a line would average more than seeds; UnknownNameError for a metric that
                nobody measured; DataError; MissingExtraError
    """
    panels = grouped(runs, panel)
    shared = [run for name in everywhere for run in panels.get(name, [])]
    shown = {name: [*shared, *held] for name, held in panels.items() if name not in everywhere} or panels
    _check_metric([run for held in shown.values() for run in held], metric)
    lines = {name: grouped(held, line) for name, held in shown.items()}
    for groups in lines.values():
        check_seeds(groups, line if isinstance(line, str) else "line")
    names = list(dict.fromkeys(name for groups in lines.values() for name in groups))
    styles = {name: Style(number) for number, name in enumerate(names)}
    sheet = Sheet(path, len(shown), title=title, columns=columns)
    handles: dict[str, Any] = {}
    broken: set[str] = set()
    rows: list[tuple[object, ...]] = []
    scale = 100.0 if metric in PERCENT else 1.0
    for axes, (place, groups) in zip(sheet.panels, lines.items(), strict=True):
        for name, held in groups.items():
            drawn = band(held, metric, scale)
            handles.setdefault(name, _plot(axes, drawn, styles[name]))
            broken |= {name} if drawn.broken else set()
            rows += [
                (place, name, int(step), mean, deviation, drawn.seeds, drawn.broken)
                for step, mean, deviation in zip(drawn.steps, drawn.means, drawn.deviations, strict=True)
            ]
        axes.set(xlabel="step", ylabel=_axis(metric))
        axes.set_title(place, fontsize=10)
        _limits(axes, metric)
        plain(axes)
        if finish is not None:
            finish(axes, styles, shown[place])
    sheet.legend(list(handles.values()), [f"{n} (diverged)" if n in broken else n for n in handles])
    return sheet.write(COLUMNS, rows)


def _plot(axes: Any, drawn: Band, style: Style) -> Any:
    """Draw a band and its mean; where it ends early, say so with a cross."""
    (line,) = axes.plot(drawn.steps, drawn.means, **style.line(len(drawn.steps)))
    if drawn.seeds > 1 and drawn.steps:
        low = [mean - deviation for mean, deviation in zip(drawn.means, drawn.deviations, strict=True)]
        high = [mean + deviation for mean, deviation in zip(drawn.means, drawn.deviations, strict=True)]
        axes.fill_between(drawn.steps, low, high, color=style.colour, alpha=0.15, linewidth=0)
    if drawn.broken and drawn.steps:
        end = {"color": style.colour, "markersize": 9, "markeredgewidth": 2}
        axes.plot(drawn.steps[-1:], drawn.means[-1:], "x", **end)
    return line


def _axis(metric: str) -> str:
    """Return the words beside the axis.

    >>> _axis("accuracy"), _axis("sent_variance")
    ('test accuracy (%)', 'sent variance')
    """
    return WORDS.get(metric, metric.replace("_", " "))


def _limits(axes: Any, metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    if metric in PERCENT:
        axes.set_ylim(-3, 103)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _check_metric(runs: Sequence[Run], metric: str) -> None:
    known = {name for run in runs for name in run.metrics}
    if metric not in known:
        raise UnknownNameError("metric of these runs", metric, known)
