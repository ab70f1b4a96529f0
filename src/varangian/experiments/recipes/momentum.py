"""Worker momentum (ICLR 2021): 736 configurations, and what share of attacks it undoes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from varangian.aggregators import (
    Average,
    Bulyan,
    MeanAroundMedian,
    Median,
    MultiBulyan,
    MultiKrum,
    Phocas,
    TrimmedMean,
)
from varangian.attacks import ALittleIsEnough, Attack, InnerProductManipulation
from varangian.core.citations import Reference
from varangian.core.papers import MOMENTUM
from varangian.core.stages import Stage
from varangian.data import Pooled
from varangian.experiments.figures import draw_curves, draw_gains, draw_ratio
from varangian.experiments.figures.groups import label
from varangian.experiments.recipes.recipe import Recipe, Scope
from varangian.experiments.recipes.report import Comparison
from varangian.experiments.recipes.shares import shares_beside
from varangian.experiments.view import Run
from varangian.optim import InverseDecay, Schedule
from varangian.specification import Experiment

ATTACKS: tuple[Attack, ...] = (ALittleIsEnough(z=1.5), InnerProductManipulation(epsilon=0.1))
PLACES = ("update", "worker")
SEEDS = 5
CALM = "no attack"
QUICK_RULES = (MultiKrum, Median)


@dataclass(frozen=True)
class Column:
    """One data set's column of the grid: the half that is Byzantine first, then the quarter."""

    common: dict[str, Any]
    byzantine: tuple[int, int]
    rates: tuple[float | Schedule, ...]


SMALL = Column(
    {
        "model": "mlp",
        "loss": "nll",
        "workers": 51,
        "batch_size": 83,
        "steps": 300,
        "evaluate_every": 5,
        "momentum": 0.9,
        "clip": 2.0,
        "l2": 1e-4,
    },
    (24, 12),
    (0.5, 0.02),
)
LARGE = Column(
    {
        "model": "cnn-cifar",
        "loss": "nll",
        "workers": 25,
        "batch_size": 50,
        "steps": 3000,
        "evaluate_every": 100,
        "momentum": 0.99,
        "clip": 5.0,
        "l2": 1e-2,
    },
    (11, 5),
    (InverseDecay(0.01, decay=167, every=1500), 0.001),
)
MIRRORED = ("fashion-mnist", "cifar10", "cifar100")
"""Data sets whose training pictures are mirrored at random."""


@dataclass(frozen=True, repr=False)
class MomentumRecipe(Recipe):
    """Where to keep momentum when some workers lie: with the workers, or with the server's update.

    ``as_released`` repeats what the authors' code does beside the paper: distances without the square and
    n - f - 1 neighbours in Krum; no pruning in Bulyan; the lower median of an even number; the norm of the
    parameters, not its square, times the coefficient squared; the model in evaluation mode while it trains;
    all workers draw from one sampler. Their "krum" is Multi-Krum, and their "bulyan" Multi-Bulyan, in
    either case.
    """

    name: ClassVar[str] = "momentum"
    summary: ClassVar[str] = "momentum at the workers undoes attacks that momentum at the update lets through"
    reference: ClassVar[Reference] = MOMENTUM
    quick: ClassVar[str] = (
        "18 runs: Multi-Krum and the median, both attacks, half and a quarter lying, the larger learning "
        "rate, no Nesterov, seed 1; about a minute on mnist"
    )
    full: ClassVar[str] = (
        "184 settings of one data set (736 in all four) and 5 seeds; about 3 hours on mnist, weeks on cifar10"
    )
    datasets: ClassVar[tuple[str, ...]] = ("mnist", "fashion-mnist", "cifar10", "cifar100")

    def settings(self, scope: Scope) -> list[Experiment]:
        """Return the baselines without attack, then the attacked runs, seed by seed."""
        column = LARGE if self.data(scope).startswith("cifar") else SMALL
        common = _common(column, scope, self.data(scope))
        seeds = range(1, (scope.seeds or (SEEDS if scope.full else 1)) + 1)
        settings = list(_settings(column, common, scope))
        return [replace(setting, seed=seed) for seed in seeds for setting in settings]

    def report(self, runs: Sequence[Run], scope: Scope) -> Comparison:
        """Return the shares of attacks that cost something, and of those that worker momentum undoes."""
        column = LARGE if self.data(scope).startswith("cifar") else SMALL
        return shares_beside(runs, column.byzantine, self.data(scope), comparable=_as_published(scope))

    def draw(self, runs: Sequence[Run], folder: Path) -> list[Path]:
        """Draw accuracy against step for every f and learning rate, the ratio, and the overview."""
        written: list[Path] = []
        for title, among in _figures(runs).items():
            attacked = [run for run in among if run.experiment.byzantine]
            if attacked:
                stem = _file(title)
                attacks = len({run.experiment.attack for run in attacked})
                by: dict[str, Any] = {"panel": _panel, "columns": attacks, "title": title}
                written += draw_curves(
                    among, folder / f"accuracy-{stem}", everywhere=(CALM,), line=_line, **by
                )
                written += draw_ratio(attacked, folder / f"ratio-{stem}", **by)
        liars = [run for run in runs if run.experiment.byzantine]
        if liars:
            data = liars[0].experiment.data
            written += draw_gains(liars, folder / "gains", title=f"{data}: highest accuracy, all settings")
        return written


def _panel(spec: Experiment) -> str:
    return f"{label(spec.attack)}, momentum at the {spec.momentum_at}" if spec.byzantine else CALM


def _line(spec: Experiment) -> str:
    return label(spec.rule) if spec.byzantine else f"{label(spec.rule)}, {CALM}"


def _as_published(scope: Scope) -> bool:
    return scope.full and scope.steps is None


def _common(column: Column, scope: Scope, data: str) -> dict[str, Any]:
    common = {**column.common, "data": data, "data_dir": scope.data_dir, "device": scope.device}
    if data in MIRRORED:
        common["flip"] = True
    if scope.steps is not None:
        common["steps"] = scope.steps
    if scope.as_released:
        coefficient = common.pop("l2")
        common |= {"l2_norm": coefficient**2, "evaluation_mode": True, "split": Pooled()}
    return common


def _settings(column: Column, common: dict[str, Any], scope: Scope) -> Iterator[Experiment]:
    rates = column.rates if scope.full else column.rates[:1]
    heavy = [(rate, nesterov) for rate in rates for nesterov in ((False, True) if scope.full else (False,))]
    for f in column.byzantine:
        honest = {**common, "workers": common["workers"] - f, "rule": Average(), "momentum_at": "update"}
        for rate, nesterov in heavy:
            yield Experiment(**honest, learning_rate=rate, nesterov=nesterov)
    for f in column.byzantine:
        lying = {**common, "byzantine": f}
        for rate, nesterov in heavy:
            for rule in rules(f, common["workers"], scope):
                for place in PLACES:
                    for attack in ATTACKS:
                        chosen: dict[str, Any] = {"rule": rule, "attack": attack, "momentum_at": place}
                        yield Experiment(**lying, **chosen, learning_rate=rate, nesterov=nesterov)


def rules(f: int, workers: int, scope: Scope) -> tuple[Stage, ...]:
    """Return the rules of the grid for f liars: five, and Multi-Bulyan where there are enough workers."""
    old = {"as_released": True} if scope.as_released else {}
    bulyan: Stage = Bulyan(f, as_released=True) if scope.as_released else MultiBulyan(f)
    five: tuple[Stage, ...] = (
        MultiKrum(f, **old),
        Median(f, **old),
        TrimmedMean(f),
        Phocas(f),
        MeanAroundMedian(f, **old),
    )
    if not scope.full:
        return tuple(rule for rule in five if isinstance(rule, QUICK_RULES))
    return (*five, bulyan) if bulyan.condition().minimum <= workers else five


def _figures(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of one f, learning rate and Nesterov each, and the baseline among them."""
    figures: dict[str, list[Run]] = {}
    counts = {run.experiment.honest: run.experiment for run in runs if run.experiment.byzantine}
    for run in runs:
        spec = run.experiment
        among = counts.get(spec.honest, spec)
        nesterov = ", Nesterov" if spec.nesterov else ""
        name = (
            f"{spec.data}, {among.byzantine} of {among.workers} lie, "
            f"learning rate {_rate(spec.learning_rate)}{nesterov}"
        )
        figures.setdefault(name, []).append(run)
    return figures


def _rate(rate: float | Schedule) -> str:
    return f"{rate.initial:g} decaying" if isinstance(rate, InverseDecay) else label(rate)


def _file(title: str) -> str:
    """Return a title as the name of a file.

    >>> _file("mnist, 24 of 51 lie, learning rate 0.5")
    'mnist-24-of-51-lie-learning-rate-0_5'
    """
    return title.lower().replace(".", "_").replace(",", "").replace(" ", "-")
