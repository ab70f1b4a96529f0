"""Bucketing (ICLR 2022): heterogeneous workers, the mimic attack, and averages of random groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from varangian.aggregators import Average, CenteredClipping, GeometricMedian, Krum, Median
from varangian.attacks import LabelFlip, Mimic
from varangian.core.chain import Chain, chain
from varangian.core.citations import Reference
from varangian.core.papers import BUCKETING
from varangian.core.stages import Stage
from varangian.data import Pooled, SortedBlocks, Split
from varangian.experiments.figures import draw_curves, draw_worst
from varangian.experiments.recipes.recipe import Recipe, Scope
from varangian.experiments.recipes.report import Comparison, Line, Number, mean
from varangian.experiments.view import Run, last_accuracy
from varangian.mixers import Bucketing
from varangian.specification import Experiment

SEEDS = (0, 1, 2)
EVALUATIONS = 5
"""The last so many evaluations are averaged."""
MIMIC = {"workers": 25, "byzantine": 5, "steps": 600}
FLIP = {"workers": 20, "byzantine": 3, "steps": 1200}
FLIP_RELEASED = {**FLIP, "byzantine": 2}
"""The authors' script runs the label flip with two liars, not three."""
SIZES = (0, 2)
FLIP_SIZES = (0, 2, 3)
IID, SORTED = "iid", "non-iid"

PUBLISHED: dict[tuple[str, str, int], Number] = {
    ("Average", IID, 0): Number(93.20, 0.21),
    ("Average", SORTED, 0): Number(92.73, 0.32),
    ("Average", IID, 2): Number(93.17, 0.23),
    ("Average", SORTED, 2): Number(92.67, 0.27),
    ("Krum", IID, 0): Number(90.36, 0.25),
    ("Krum", SORTED, 0): Number(37.33, 6.78),
    ("Krum", IID, 2): Number(91.64, 0.30),
    ("Krum", SORTED, 2): Number(53.15, 3.96),
    ("Median", IID, 0): Number(90.80, 0.12),
    ("Median", SORTED, 0): Number(64.27, 3.70),
    ("Median", IID, 2): Number(91.91, 0.24),
    ("Median", SORTED, 2): Number(78.60, 3.15),
    ("GeometricMedian", IID, 0): Number(92.92, 0.25),
    ("GeometricMedian", SORTED, 0): Number(78.93, 9.27),
    ("GeometricMedian", IID, 2): Number(93.00, 0.23),
    ("GeometricMedian", SORTED, 2): Number(91.17, 0.51),
    ("CenteredClipping", IID, 0): Number(93.16, 0.22),
    ("CenteredClipping", SORTED, 0): Number(91.53, 0.06),
    ("CenteredClipping", IID, 2): Number(93.17, 0.23),
    ("CenteredClipping", SORTED, 2): Number(92.56, 0.21),
}
"""Accuracy in percent under mimic, by rule, data and bucket size (Karimireddy et al., ICLR 2022)."""

PUBLISHED_FLIP: dict[int, Number] = {0: Number(0.64, 0.09), 2: Number(72.47, 2.40), 3: Number(84.87, 0.14)}
"""Accuracy in percent of Krum under flipped labels, non-iid, by bucket size (the same paper)."""


@dataclass(frozen=True, repr=False)
class BucketingRecipe(Recipe):
    """What mimicking one honest worker does to robust rules when data differ, and what bucketing mends.

    Honest workers hold all the data: sorted by label in contiguous blocks, or (iid) shared by all. A liar
    that flips labels draws from everything. ``as_released`` repeats what the authors' script does beside
    the paper: mimic chooses whom to copy in the first round, and the label flip has two liars.
    """

    name: ClassVar[str] = "bucketing"
    summary: ClassVar[str] = "averaging random groups lets robust rules live with different data"
    reference: ClassVar[Reference] = BUCKETING
    quick: ClassVar[str] = (
        "the mimic table, 20 cells, with an MLP for the CNN and seed 0 alone, so the numbers are not "
        "comparable; about a minute"
    )
    full: ClassVar[str] = (
        "the mimic table and the label-flip row, the paper's CNN, seeds 0, 1, 2: 66 runs; about 8 hours, "
        "by the time of a step"
    )
    datasets: ClassVar[tuple[str, ...]] = ("mnist",)

    def settings(self, scope: Scope) -> list[Experiment]:
        """Return the cells of the mimic table, then the label-flip row, seed by seed."""
        count = scope.seeds or (len(SEEDS) if scope.full else 1)
        settings = mimic_settings(scope)
        if scope.full:
            settings += flip_settings(scope)
        return [replace(setting, seed=SEEDS[0] + seed) for seed in range(count) for setting in settings]

    def report(self, runs: Sequence[Run], scope: Scope) -> Comparison:
        """Return every published cell beside the mean of ours over the seeds."""
        found: dict[tuple[str, str, int], list[float]] = {}
        flipped: dict[int, list[float]] = {}
        for run in runs:
            spec = run.experiment
            accuracy = 100 * last_accuracy(run, EVALUATIONS)
            if isinstance(spec.attack, LabelFlip):
                flipped.setdefault(bucket_size(spec), []).append(accuracy)
            else:
                cell = (rule_name(spec), data_name(spec), bucket_size(spec))
                found.setdefault(cell, []).append(accuracy)
        comparable = scope.full and scope.steps is None and self.data(scope) == "mnist"
        lines = [
            Line(f"mimic, {rule}, {data}, s = {s}", number, mean(found.get((rule, data, s), ())), comparable)
            for (rule, data, s), number in PUBLISHED.items()
        ]
        flips = [
            Line(f"label flip, Krum, {SORTED}, s = {s}", number, mean(flipped.get(s, ())), comparable)
            for s, number in PUBLISHED_FLIP.items()
        ]
        return Comparison(
            f"Bucketing on {self.data(scope)}: test accuracy, mean of the last {EVALUATIONS} evaluations",
            "%",
            tuple(lines + flips),
            _notes(scope),
        )

    def draw(self, runs: Sequence[Run], folder: Path) -> list[Path]:
        """Draw the table as a heatmap, and accuracy against step for every rule."""
        written: list[Path] = []
        mimicked = [run for run in runs if isinstance(run.experiment.attack, Mimic)]
        flipped = [run for run in runs if isinstance(run.experiment.attack, LabelFlip)]
        if mimicked:
            title = "Mimic: mean of the last evaluations"
            by: dict[str, Any] = {"rows": rule_name, "columns": _setting_name, "evaluations": EVALUATIONS}
            written += draw_worst(mimicked, folder / "mimic", title=title, **by)
            written += draw_curves(
                mimicked, folder / "mimic-curves", line=rule_name, panel=_setting_name, title="Mimic"
            )
        if flipped:
            title = "Krum, flipped labels, sorted data"
            written += draw_curves(
                flipped, folder / "flip-curves", line=_setting_name, panel="attack", title=title
            )
        return written


def mimic_settings(scope: Scope) -> list[Experiment]:
    """Return the 20 cells: five rules, iid and sorted, without buckets and with buckets of two."""
    attack = Mimic(warmup=1) if scope.as_released else Mimic()
    common = {**_common(scope, MIMIC), "attack": attack}
    holders = MIMIC["workers"] - MIMIC["byzantine"]
    splits: tuple[Split, ...] = (Pooled(), SortedBlocks(holders))
    return [
        Experiment(**common, split=split, rule=bucketed(rule, s))
        for rule in mimic_rules(MIMIC["byzantine"])
        for split in splits
        for s in SIZES
    ]


def flip_settings(scope: Scope) -> list[Experiment]:
    """Return the label-flip row; where Krum's condition fails on the buckets, there is no run."""
    who = FLIP_RELEASED if scope.as_released else FLIP
    common = {**_common(scope, who), "attack": LabelFlip()}
    split = SortedBlocks(who["workers"] - who["byzantine"])
    rules = [bucketed(Krum(who["byzantine"]), s) for s in FLIP_SIZES]
    return [
        Experiment(**common, split=split, rule=rule)
        for rule in rules
        if rule.condition().minimum <= who["workers"]
    ]


def mimic_rules(f: int) -> tuple[Stage, ...]:
    """Return the rules of the table; centred clipping has radius 10 / (1 - beta), and beta is 0."""
    return (
        Average(),
        Krum(f),
        Median(f),
        GeometricMedian(f, nu=0.1, steps=8),
        CenteredClipping(f, radius=10.0, steps=3),
    )


def bucketed(rule: Stage, s: int) -> Stage:
    """Return the rule behind buckets of ``s``; 0 is no buckets.

    >>> bucketed(Krum(f=5), 2)
    chain(Bucketing(f=5), Krum(f=5))
    """
    if not s:
        return rule
    return chain(Bucketing(rule.f or MIMIC["byzantine"], s), rule)


def bucket_size(spec: Experiment) -> int:
    """Return the size of the buckets in front of an experiment's rule, 0 without."""
    first = spec.rule.parts[0] if isinstance(spec.rule, Chain) else spec.rule
    return first.s if isinstance(first, Bucketing) else 0


def rule_name(spec: Experiment) -> str:
    """Return the class of the rule behind the buckets."""
    last = spec.rule.parts[-1] if isinstance(spec.rule, Chain) else spec.rule
    return type(last).__name__


def data_name(spec: Experiment) -> str:
    """Return whether workers' data are alike."""
    return SORTED if isinstance(spec.split, SortedBlocks) else IID


def _setting_name(spec: Experiment) -> str:
    size = bucket_size(spec)
    return f"{data_name(spec)}, {f's = {size}' if size else 'no buckets'}"


def _common(scope: Scope, who: dict[str, int]) -> dict[str, Any]:
    return {
        **who,
        "steps": scope.steps or who["steps"],
        "data": scope.data or BucketingRecipe.datasets[0],
        "data_dir": scope.data_dir,
        "device": scope.device,
        "model": "cnn-mnist" if scope.full else "mlp",
        "loss": "nll",
        "batch_size": 32,
        "learning_rate": 0.01,
        "momentum": 0.0,
        "evaluate_every": 30,
    }


def _notes(scope: Scope) -> tuple[str, ...]:
    notes = [
        "Ours agrees if it lies within three published standard deviations of the published mean.",
        "The authors' Krum sums fourth powers of distances; ours sums squares.",
    ]
    if not scope.full:
        notes.append("Quick: an MLP where the paper trains a CNN, so the numbers are not comparable.")
    elif not scope.as_released:
        notes.append(
            "Label flip, s = 3: 20 workers make 7 buckets, and Krum(f=3) needs 9; it is not run. The "
            "authors' script runs this row with f = 2: ask for it as released."
        )
    return tuple(notes)
