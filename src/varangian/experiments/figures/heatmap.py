"""The worst accuracy over attacks, in a table of two fields."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from varangian.experiments.figures.groups import By, check_seeds, grouped, name_of
from varangian.experiments.figures.sheet import Sheet
from varangian.experiments.view import Run, last_accuracy

COLUMNS = ("row", "column", "worst attack", "accuracy (%)", "seeds")
DARK = 55.0
"""Percent below which a cell is so dark that its text is white."""
LONG = 14
"""So many characters fit below a cell."""


def draw_worst(
    runs: Iterable[Run],
    path: str | os.PathLike[str],
    *,
    rows: By = "rule",
    columns: By = "split",
    attack: By = "attack",
    title: str = "",
    evaluations: int = 1,
) -> list[Path]:
    """Draw the lowest accuracy that any attack leaves, rows against columns; return the files written.

    A cell holds the mean over seeds of the last ``evaluations``, under the attack for which that is least,
    whose name stands in the cell if cells differ in it. What was not run is hatched.

    Raises      ParameterError if a cell would average more than seeds; DataError; MissingExtraError
    """
    held = list(runs)
    names = list(grouped(held, rows))
    heads = list(grouped(held, columns))
    cells: dict[tuple[str, str], tuple[float, str, int]] = {}
    for (row, column), among in _cells(held, rows, columns).items():
        attacks = grouped(among, attack)
        check_seeds(attacks, f"{row}, {column}")
        means = {
            name: math.fsum(last_accuracy(run, evaluations) for run in under) / len(under)
            for name, under in attacks.items()
        }
        worst = min(means, key=lambda name: math.inf if math.isnan(means[name]) else means[name])
        cells[row, column] = (100 * means[worst], worst, len(attacks[worst]))
    size = (max(4.6, 1.9 + 1.35 * len(heads)), 1.2 + 0.62 * len(names))
    sheet = Sheet(path, 1, title=title, size=size)
    (axes,) = sheet.panels
    values = [[cells.get((row, head), (math.nan, "", 0))[0] for head in heads] for row in names]
    several = len({worst for _, worst, _ in cells.values()}) > 1
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for i, row in enumerate(names):
        for j, head in enumerate(heads):
            value, worst, _ = cells.get((row, head), (math.nan, "", 0))
            if math.isnan(value):
                box = {"facecolor": "white", "edgecolor": "#999999", "hatch": "///", "linewidth": 0}
                axes.add_patch(_rectangle(j, i, box))
                continue
            ink = "white" if value < DARK else "black"
            place = i - 0.12 if several else i
            axes.text(j, place, f"{value:.1f}", ha="center", va="center", color=ink, fontsize=11)
            if several:
                axes.text(j, i + 0.24, worst, ha="center", va="center", color=ink, fontsize=7)
    slant = 25 if max(map(len, heads)) > LONG else 0
    axes.set_xticks(range(len(heads)), heads, fontsize=9, rotation=slant, ha="right" if slant else "center")
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set(xlabel=_words(columns), ylabel=_words(rows))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    sheet.figure.colorbar(image, ax=axes, label=f"{'worst ' if several else ''}test accuracy (%)")
    return sheet.write(
        COLUMNS,
        [(row, head, worst, value, seeds) for (row, head), (value, worst, seeds) in cells.items()],
    )


def _cells(runs: list[Run], rows: By, columns: By) -> dict[tuple[str, str], list[Run]]:
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        spec = run.experiment
        cells.setdefault((name_of(spec, rows), name_of(spec, columns)), []).append(run)
    return cells


def _rectangle(column: int, row: int, look: dict[str, object]) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, **look)  # type: ignore[arg-type]


def _words(by: By) -> str:
    if callable(by):
        return ""
    return by.replace("_", " ") if isinstance(by, str) else ", ".join(name.replace("_", " ") for name in by)
