"""The variance-to-norm ratio of what honest workers send, beside what each rule's theorem allows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from varangian.core.randomness import Stream
from varangian.data import DATASETS, Dataset
from varangian.experiments.figures.curves import draw_curves
from varangian.experiments.figures.groups import By, label
from varangian.experiments.figures.style import Style
from varangian.experiments.view import Run
from varangian.models import build
from varangian.specification import Experiment, RuleMixture

APART = 0.07
"""Labels keep so much of the panel's height between each other."""


def draw_ratio(
    runs: Iterable[Run],
    path: str | os.PathLike[str],
    *,
    line: By = "rule",
    panel: By = "attack",
    title: str = "",
    columns: int | None = None,
) -> list[Path]:
    """Draw the ratio against the step, and each rule's proven threshold as a level line; return the files.

    A rule's theorem holds at the steps where its line is below its threshold. Rules without a proven
    threshold have none. ``line`` and ``panel`` are as for ``draw_curves``, and so is what it raises.
    """
    return draw_curves(
        runs,
        path,
        metric="variance_to_norm",
        line=line,
        panel=panel,
        title=title,
        columns=columns,
        finish=_thresholds,
    )


def threshold(experiment: Experiment) -> float | None:
    """Return the ratio up to which the theorem of an experiment's rule holds, None where none is proven."""
    if isinstance(experiment.rule, RuleMixture):
        return None
    return experiment.rule.variance_bound(experiment.workers, dimension(experiment))


def dimension(experiment: Experiment) -> int:
    """Return how many parameters the experiment's model has."""
    if isinstance(experiment.data, Dataset):
        return _count(experiment.model, experiment.data.input_shape, experiment.data.classes)
    source = next(source for source in DATASETS if source.name == experiment.data)
    return _count(experiment.model, source.input_shape, source.classes)


@lru_cache(maxsize=64)
def _count(model: Any, shape: tuple[int, ...], classes: int) -> int:
    return sum(parameter.numel() for parameter in build(model, shape, classes, Stream()).parameters())


def _thresholds(axes: Any, styles: dict[str, Style], runs: Sequence[Run]) -> None:
    """Draw the level lines of the rules in a panel, each labelled at its right end."""
    axes.set_yscale("log")
    bounds: dict[float, list[str]] = {}
    for run in runs:
        bound = threshold(run.experiment)
        if bound is not None:
            names = bounds.setdefault(round(bound, 12), [])
            rule = label(run.experiment.rule)
            names += [rule] if rule not in names else []
    for bound in bounds:
        axes.axhline(bound, color="#555555", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, *(b / 1.5 for b in bounds)) if bounds else low, high)
    levels = [axes.transAxes.inverted().transform(axes.transData.transform((0, b)))[1] for b in bounds]
    for place, level, names in _spread(sorted(zip(levels, levels, bounds.values(), strict=True))):
        axes.annotate(
            ", ".join(names),
            xy=(1.0, level),
            xytext=(1.03, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#555555", "linewidth": 0.6},
        )


def _spread(labels: list[tuple[float, float, list[str]]]) -> list[tuple[float, float, list[str]]]:
    """Move labels up where they would overlap.

    >>> [round(place, 2) for place, _, _ in _spread([(0.1, 0.1, []), (0.11, 0.11, []), (0.5, 0.5, [])])]
    [0.1, 0.17, 0.5]
    """
    moved: list[tuple[float, float, list[str]]] = []
    for place, level, names in labels:
        least = moved[-1][0] + APART if moved else place
        moved.append((max(place, least), level, names))
    return moved
