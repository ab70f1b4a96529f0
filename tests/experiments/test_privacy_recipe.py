"""The recipe of privacy and lies: its settings, its picture, its words."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from varangian.aggregators import Average, MinimumDiameterAveraging
from varangian.attacks import ALittleIsEnough, InnerProductManipulation
from varangian.data import IID, Pooled
from varangian.engines import train
from varangian.errors import ParameterError
from varangian.experiments.figures.batches import draw_batches
from varangian.experiments.recipes import Scope
from varangian.experiments.recipes.privacy import PrivacyRecipe
from varangian.experiments.view import Run, Trace
from varangian.privacy import Privacy
from varangian.specification import Experiment

RECIPE = PrivacyRecipe()


def traced(experiment: Experiment, accuracy: float) -> Trace:
    return Trace(experiment, {"step": [50.0, 100.0], "accuracy": [math.nan, accuracy]})


def invented(experiment: Experiment) -> float:
    """Return an accuracy: noise costs 1 point, lies 2, both 40 below a batch of 500."""
    noise, lies = experiment.privacy is not None, experiment.attack is not None
    if noise and lies and experiment.batch_size < 500:
        return 0.5
    return 0.9 - 0.01 * noise - 0.02 * lies


def test_the_grid_is_the_papers() -> None:
    specs = RECIPE.settings(Scope(full=True))
    assert len(specs) == 360
    assert len(set(specs)) == 360
    assert len({replace(spec, seed=1) for spec in specs}) == 72
    assert {spec.seed for spec in specs} == {1, 2, 3, 4, 5}
    assert {spec.batch_size for spec in specs} == {10, 25, 50, 100, 250, 500}
    assert {spec.privacy for spec in specs} == {None, *(Privacy(e, 0.01, 1e-6) for e in (0.1, 0.2, 0.5))}
    for spec in specs:
        assert (spec.workers, spec.steps, spec.evaluate_every) == (11, 1000, 50)
        assert (spec.learning_rate, spec.momentum, spec.momentum_at) == (2.0, 0.99, "server")
        assert spec.clip == (0.01 if spec.privacy is None else None)
        assert isinstance(spec.split, IID)
        if spec.attack is None:
            assert (spec.rule, spec.byzantine) == (Average(), 0)
        else:
            assert (spec.rule, spec.byzantine) == (MinimumDiameterAveraging(f=5), 5)
            assert spec.attack in (ALittleIsEnough(z=1.5), InnerProductManipulation(epsilon=0.1))


def test_as_released_differs_in_clip_and_split() -> None:
    ours, theirs = RECIPE.settings(Scope()), RECIPE.settings(Scope(as_released=True))
    assert len(ours) == len(theirs) == 18
    for mine, released in zip(ours, theirs, strict=True):
        assert isinstance(released.split, Pooled)
        assert released.privacy is None or released.privacy.clip == "batch"
        assert replace(released, split=mine.split, privacy=mine.privacy) == mine


def test_scope_is_obeyed() -> None:
    specs = RECIPE.settings(Scope(seeds=2, steps=7, data="digits", data_dir="somewhere"))
    assert len(specs) == 36
    assert {(spec.steps, spec.data, spec.data_dir) for spec in specs} == {(7, "digits", "somewhere")}


def test_the_report_says_what_each_costs() -> None:
    scope = Scope()
    runs: list[Run] = [traced(spec, invented(spec)) for spec in RECIPE.settings(scope)]
    comparison = RECIPE.report(runs, scope)
    assert len(comparison.lines) == 18
    shown = {line.what: line.ours.value for line in comparison.lines}
    assert shown["b = 25, no noise, no attack"] == pytest.approx(90)
    assert shown["b = 25, epsilon = 0.2, alie:z=1.5"] == pytest.approx(50)
    told = "\n".join(comparison.notes)
    assert (
        "b = 25: noise alone (epsilon = 0.2) costs 1.0 points, the worse attack alone 2.0, both together 40.0"
        in told
    )
    assert (
        "b = 500: noise alone (epsilon = 0.2) costs 1.0 points, the worse attack alone 2.0, both together 3.0"
        in told
    )
    assert "proves nothing below a batch of 1038" in told


def test_what_was_not_run_is_missing_and_not_zero() -> None:
    comparison = RECIPE.report([], Scope(as_released=True))
    assert all(math.isnan(line.ours.value) for line in comparison.lines)
    assert not any("costs" in note for note in comparison.notes)
    assert any("no guarantee" in note for note in comparison.notes)


def test_the_picture_shows_every_setting(tmp_path: Path) -> None:
    scope = Scope(full=True, seeds=2)
    runs: list[Run] = [traced(spec, invented(spec)) for spec in RECIPE.settings(scope)]
    paths = RECIPE.draw(runs, tmp_path)
    assert [path.name for path in paths] == ["privacy.png", "privacy.svg", "privacy.csv"]
    drawn = paths[1].read_text(encoding="utf-8")
    assert drawn.startswith("<?xml")
    with paths[2].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    assert {row["seeds"] for row in rows} == {"2"}
    for row in rows:
        noise, lies = row["line"] != "no noise", row["panel"] != "no attack"
        both = noise and lies and int(row["batch size"]) < 500
        assert float(row["accuracy (%)"]) == pytest.approx(50 if both else 90 - noise - 2 * lies)


def test_the_picture_averages_nothing_but_seeds(tmp_path: Path) -> None:
    runs: list[Run] = [traced(spec, 0.5) for spec in RECIPE.settings(Scope())]
    with pytest.raises(ParameterError, match="privacy"):
        draw_batches(runs, tmp_path / "mixed.svg", line="model")


@pytest.mark.slow
@pytest.mark.real_data
def test_noise_and_lies_do_not_add_up(real_data: Path) -> None:
    """At b = 100 either alone is survived and both together are not: the paper's finding."""
    scope = Scope(data_dir=real_data, as_released=True)
    runs = [train(spec) for spec in RECIPE.settings(scope) if spec.batch_size == 100]
    told = {line.what: line.ours.value for line in RECIPE.report(runs, scope).lines}
    calm = told["b = 100, no noise, no attack"]
    assert calm > 88
    assert told["b = 100, epsilon = 0.2, no attack"] > calm - 5
    assert told["b = 100, no noise, alie:z=1.5"] > calm - 10
    assert told["b = 100, epsilon = 0.2, alie:z=1.5"] < calm - 20
