"""Momentum at the worker against momentum at the update: an overview of many settings."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from varangian.errors import ParameterError
from varangian.experiments.figures.groups import By, label, name_of
from varangian.experiments.figures.sheet import Sheet, plain
from varangian.experiments.view import Run, best_accuracy
from varangian.specification import Experiment

UPDATE, WORKER = "#D55E00", "#0072B2"
COLUMNS = (
    *("panel", "group", "rule", "attack", "byzantine", "learning rate", "nesterov", "seed"),
    *("at update (%)", "at worker (%)", "gain (points)"),
)


@dataclass(frozen=True, eq=False)
class Pair:
    """One setting and seed twice: its highest accuracies with momentum at the update and at the worker."""

    experiment: Experiment
    update: float
    worker: float

    @property
    def gain(self) -> float:
        """Return what the worker's momentum adds, 0..1."""
        return self.worker - self.update


def pairs(runs: Iterable[Run]) -> list[Pair]:
    """Return every setting and seed of which both placements were run, in the order of the first."""
    best: dict[Experiment, dict[str, float]] = {}
    for run in runs:
        setting = replace(run.experiment, momentum_at="update")
        best.setdefault(setting, {})[run.experiment.momentum_at] = best_accuracy(run)
    return [
        Pair(setting, found["update"], found["worker"])
        for setting, found in best.items()
        if {"update", "worker"} <= set(found) and not any(map(math.isnan, found.values()))
    ]


def draw_gains(
    runs: Iterable[Run],
    path: str | os.PathLike[str],
    *,
    group: By = "rule",
    panel: By = "attack",
    title: str = "",
) -> list[Path]:
    """Draw boxes of the highest accuracy for both placements, and of the gain per setting below.

    A box spans the quartiles over all settings and seeds of its group, its whiskers everything, its line is
    the median; runs without a partner at the other placement are left out. Returns the files written.

    Raises      ParameterError if no setting was run at both placements; DataError; MissingExtraError
    """
    held = pairs(runs)
    if not held:
        raise ParameterError(
            "No setting was run with momentum at the update and at the worker; run both to compare them."
        )
    places: dict[str, list[Pair]] = {}
    for pair in held:
        places.setdefault(name_of(pair.experiment, panel), []).append(pair)
    names = list(dict.fromkeys(name_of(pair.experiment, group) for pair in held))
    width = max(4.2, 1.2 + 0.75 * len(names))
    sheet = Sheet(path, 2 * len(places), title=title, size=(width, 3.0), columns=len(places))
    above, below = sheet.panels[: len(places)], sheet.panels[len(places) :]
    handles: Sequence[Any] = ()
    for upper, lower, (place, among) in zip(above, below, places.items(), strict=True):
        groups = [[pair for pair in among if name_of(pair.experiment, group) == name] for name in names]
        handles = [
            _boxes(upper, [[100 * pair.update for pair in pairs] for pairs in groups], -0.19, UPDATE, "////"),
            _boxes(upper, [[100 * pair.worker for pair in pairs] for pairs in groups], +0.19, WORKER, ""),
        ]
        _boxes(lower, [[100 * pair.gain for pair in pairs] for pairs in groups], 0.0, "#999999", "")
        upper.set(ylabel="highest accuracy (%)", ylim=(-3, 103))
        upper.set_title(place, fontsize=10)
        lower.set(ylabel="gain per setting (points)")
        lower.axhline(0, color="black", linewidth=0.8, zorder=1)
        for axes in (upper, lower):
            axes.set_xticks(range(len(names)), names, rotation=20 if len(names) > 3 else 0)
            axes.set_xlim(-0.6, len(names) - 0.4)
            plain(axes)
    low = min(axes.get_ylim()[0] for axes in below)
    high = max(axes.get_ylim()[1] for axes in below)
    for axes in below:
        axes.set_ylim(low, high)
    sheet.legend(handles, ["momentum at the update", "momentum at the worker"])
    return sheet.write(COLUMNS, [_row(pair, group, panel) for pair in held])


def _boxes(axes: Any, values: Sequence[Sequence[float]], shift: float, colour: str, hatch: str) -> Any:
    """Draw a box per group and return one of them for the legend."""
    drawn = axes.boxplot(
        values,
        positions=[place + shift for place in range(len(values))],
        widths=0.34,
        whis=(0, 100),
        patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.75, "hatch": hatch, "edgecolor": "black", "linewidth": 0.8},
        medianprops={"color": "black", "linewidth": 1.8},
        manage_ticks=False,
    )
    return drawn["boxes"][0]


def _row(pair: Pair, group: By, panel: By) -> tuple[object, ...]:
    spec = pair.experiment
    return (
        name_of(spec, panel),
        name_of(spec, group),
        label(spec.rule),
        label(spec.attack),
        spec.byzantine,
        label(spec.learning_rate),
        spec.nesterov,
        spec.seed,
        100 * pair.update,
        100 * pair.worker,
        100 * pair.gain,
    )
