"""The picture: for each size a panel, a row per rule, and how many times the read floor everyone took."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from varangian.experiments.bench.measure import FLOOR, OURS, Measured
from varangian.experiments.figures.sheet import Sheet, plain
from varangian.experiments.figures.style import MARKERS, Style

COLUMNS = ("rule", "n", "d", "dtype", "who", "wall", "cpu", "times_floor")
ROW = 0.24
"""Inches that a rule takes."""


def draw_bench(found: Sequence[Measured], path: str | os.PathLike[str], title: str = "") -> list[Path]:
    """Draw times over the read floor, on a logarithmic axis that begins at the floor; return the files.

    Raises DataError, MissingExtraError.
    """
    told = [one for one in found if OURS in one.times]
    sizes = list(dict.fromkeys((one.case.n, one.case.d, one.case.dtype) for one in told))
    rules = list(dict.fromkeys(one.case.text for one in told))
    names = list(dict.fromkeys(name for one in told for name in one.times if name != FLOOR))
    styles = {name: Style(number) for number, name in enumerate(names)}
    panels = max(1, len(sizes))
    sheet = Sheet(path, panels, title=title, size=(5, ROW * len(rules) + 1.2), columns=min(panels, 2))
    handles = {}
    rows: list[tuple[object, ...]] = []
    for axes, size in zip(sheet.panels, sizes, strict=False):
        for one in told:
            case = one.case
            if (case.n, case.d, case.dtype) != size:
                continue
            for name, times in one.times.items():
                ratio = times.over(one.times[FLOOR]).wall
                rows.append((case.text, *size, name, times.wall, times.cpu, ratio))
                if name != FLOOR:
                    (handles[name],) = axes.plot(
                        ratio,
                        rules.index(case.text),
                        linestyle="none",
                        marker=MARKERS[styles[name].number % len(MARKERS)],
                        color=styles[name].colour,
                        markersize=7 if name == OURS else 5,
                        alpha=0.85,
                    )
        axes.axvline(1, color="#555555", linewidth=1)
        axes.set_xscale("log")
        axes.set_yticks(range(len(rules)), rules)
        axes.set_ylim(len(rules) - 0.5, -0.5)
        axes.set_xlabel("times the read floor")
        axes.set_title("n = {}, d = {:,}, {}".format(*size).replace(",", " "), fontsize=10)
        plain(axes)
    sheet.legend(list(handles.values()), list(handles))
    return sheet.write(COLUMNS, rows)
