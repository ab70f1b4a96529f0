"""Curves: what is averaged, what the CSV holds, how broken runs and odd numbers of lines look."""

from __future__ import annotations

import csv
import math
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from experiments.traces import flat, trace

import varangian as vg
from varangian.errors import DataError, MissingExtraError, ParameterError, UnknownNameError
from varangian.experiments.figures import draw_curves, draw_gains, draw_ratio, draw_worst
from varangian.experiments.figures.bands import band
from varangian.experiments.figures.groups import label, name_of
from varangian.experiments.figures.ratio import dimension, threshold
from varangian.experiments.figures.style import COLOURS, DASHES, MARKERS, Style
from varangian.experiments.view import Run, Trace

SPEC = vg.Experiment(data="mnist", workers=51, byzantine=12, steps=3)
RULES = (vg.MultiKrum(f=12), vg.Median(f=12), vg.TrimmedMean(f=12))
DRAWINGS = (draw_curves, draw_ratio, draw_worst, draw_gains)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def grid() -> list[Trace]:
    """Return three rules under two attacks, momentum at both places, two seeds: enough for every figure."""
    return [
        flat(
            replace(SPEC, rule=rule, attack=attack, momentum_at=place, seed=seed),
            0.5 + 0.1 * (place == "worker") + 0.01 * seed,
            variance_to_norm=[0.5, 1.0, 2.0],
        )
        for rule in RULES
        for attack in (vg.ALittleIsEnough(z=1.5), vg.SignFlip())
        for place in ("update", "worker")
        for seed in (1, 2)
    ]


def options(draw: Any) -> dict[str, Any]:
    by = ("rule", "momentum_at")
    return {
        draw_curves: {"line": by},
        draw_ratio: {"line": by},
        draw_worst: {"rows": by, "columns": "split"},
        draw_gains: {},
    }[draw]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_both_pictures_and_the_numbers(draw: Any, tmp_path: Path) -> None:
    paths = draw(grid(), tmp_path / "figure", title="a <title> & more", **options(draw))
    assert [path.name for path in paths] == ["figure.png", "figure.svg", "figure.csv"]
    png, svg, numbers = paths
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert "a &lt;title&gt; &amp; more" in svg.read_text(encoding="utf-8")
    assert len(table(numbers)) > 0


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_same_runs_give_the_same_files(draw: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        draw(grid(), folder / "figure", **options(draw))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("name", ["missing/figure", "missing/figure.png", "figure.pdf", "folder.svg"])
def test_paths_that_cannot_be_written(draw: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(DataError, match=r"cannot be written|\.png or \.svg"):
        draw(grid(), tmp_path / name, **options(draw))


@pytest.mark.parametrize("draw", DRAWINGS)
def test_without_matplotlib(draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[plot\]"):
        draw(grid(), tmp_path / "figure.png", **options(draw))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", DRAWINGS)
def test_no_runs_are_refused(draw: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError):
        draw([], tmp_path / "figure.png")


def test_a_line_is_the_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    runs = [flat(replace(SPEC, seed=seed), value) for seed, value in ((1, 0.5), (2, 0.7))]
    _, numbers = draw_curves(runs, tmp_path / "figure.png")
    rows = table(numbers)
    assert [(row["panel"], row["line"], row["step"], row["seeds"]) for row in rows] == [
        ("no attack", "mean", "1", "2"),
        ("no attack", "mean", "3", "2"),
    ]
    assert [float(row["mean"]) for row in rows] == pytest.approx([60, 60])
    assert [float(row["deviation"]) for row in rows] == pytest.approx([10, 10])


def test_what_differs_in_more_than_the_seed_is_not_averaged(tmp_path: Path) -> None:
    runs = [flat(SPEC, 0.5), flat(replace(SPEC, momentum_at="update", seed=2), 0.5)]
    with pytest.raises(ParameterError, match="momentum_at"):
        draw_curves(runs, tmp_path / "figure.png")
    draw_curves(runs, tmp_path / "figure.png", line=("rule", "momentum_at"))
    with pytest.raises(ParameterError, match="twice"):
        draw_curves([flat(SPEC, 0.5), flat(SPEC, 0.5)], tmp_path / "figure.png")


def test_a_line_that_is_in_every_panel(tmp_path: Path) -> None:
    calm = flat(replace(SPEC, workers=39, byzantine=0), 0.9)
    attacks = vg.ALittleIsEnough(z=1.5), vg.SignFlip()
    attacked = [flat(replace(SPEC, rule=RULES[1], attack=attack), 0.4) for attack in attacks]
    _, numbers = draw_curves([calm, *attacked], tmp_path / "a.svg", everywhere=("no attack",))
    found = {(row["panel"], row["line"]) for row in table(numbers)}
    assert found == {(panel, line) for panel in ("alie:z=1.5", "signflip") for line in ("mean", "median")}
    _, numbers = draw_curves([calm], tmp_path / "b.svg", everywhere=("no attack",))
    assert {row["panel"] for row in table(numbers)} == {"no attack"}


@pytest.mark.parametrize("count", [1, 12])
def test_as_many_lines_as_there_are(count: int, tmp_path: Path) -> None:
    runs = [flat(replace(SPEC, seed=seed), 0.9 - 0.05 * seed) for seed in range(count)]
    svg, numbers = draw_curves(runs, tmp_path / "figure.svg", line=("rule", "seed"))
    text = svg.read_text(encoding="utf-8")
    assert all(f"mean, seed {seed} " in f"{text} " or f"mean, seed {seed}" in text for seed in range(count))
    assert len({row["line"] for row in table(numbers)}) == count


def test_no_two_of_twelve_styles_are_alike_in_grey() -> None:
    looks = [Style(number).line(100) for number in range(12)]
    assert len({(look["marker"], str(look["linestyle"])) for look in looks}) == 12
    assert len({look["marker"] for look in looks}) == 12
    assert math.lcm(len(COLOURS), len(DASHES)) >= 12
    assert len(set(MARKERS)) == len(MARKERS)


def test_a_run_that_diverged_ends_and_says_so(tmp_path: Path) -> None:
    loss = [1.0, math.inf, math.nan]
    runs = [flat(replace(SPEC, seed=1), 0.5, loss=loss), flat(replace(SPEC, seed=2), 0.5)]
    svg, numbers = draw_curves(runs, tmp_path / "loss.svg", metric="loss")
    assert [(row["step"], row["diverged"]) for row in table(numbers)] == [("1", "True")]
    assert "mean (diverged)" in svg.read_text(encoding="utf-8")
    svg, numbers = draw_curves(runs, tmp_path / "accuracy.svg")
    assert [row["step"] for row in table(numbers)] == ["1", "3"]
    assert "mean (diverged)" in svg.read_text(encoding="utf-8")


def test_a_run_that_diverged_at_once_is_still_named(tmp_path: Path) -> None:
    run = flat(SPEC, 0.1, loss=[math.nan] * 3)
    svg, numbers = draw_curves([run], tmp_path / "loss.svg", metric="loss")
    assert table(numbers) == []
    assert "mean (diverged)" in svg.read_text(encoding="utf-8")


def test_one_seed_has_no_band() -> None:
    found = band([flat(SPEC, 0.5)], "accuracy", 100.0)
    assert (found.means, found.deviations, found.seeds, found.broken) == ((50.0, 50.0), (0.0, 0.0), 1, False)


def test_steps_that_only_some_seeds_measured_are_left_out() -> None:
    runs = [trace(SPEC, [0.1, 0.2, math.nan]), trace(SPEC, [math.nan, 0.4, 0.5])]
    assert band(runs, "accuracy").steps == (2.0,)


def test_a_metric_that_nobody_measured(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="accuracy"):
        draw_curves([flat(SPEC, 0.5)], tmp_path / "figure.png", metric="acuracy")


def test_results_fresh_from_training(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"model": "logistic", "workers": 7, "byzantine": 2, "steps": 4, "batch_size": 8}
    specs = [vg.Experiment(**fields, rule=vg.Median(f=2), attack=vg.SignFlip(), seed=s) for s in (1, 2)]
    results: Sequence[Run] = vg.run(specs)
    for draw in (draw_curves, draw_ratio):
        assert all(path.stat().st_size for path in draw(results, tmp_path / "figure"))


def test_thresholds_are_those_of_the_theorems() -> None:
    assert dimension(SPEC) == 79_510
    spec = replace(SPEC, rule=vg.Median(f=12), attack=vg.SignFlip())
    assert threshold(spec) == vg.Median(f=12).variance_bound(51, 79_510) == 1 / math.sqrt(39)
    assert threshold(SPEC) is None
    assert dimension(vg.Experiment(data="digits", model="logistic")) == 650


def test_labels_are_short_and_tell_what_differs() -> None:
    assert label(vg.chain(vg.Bucketing(f=1, s=3), vg.Krum(f=1))) == "bucketing:s=3+krum"
    assert label(vg.Optimal(vg.InnerProductManipulation(epsilon=0.5))) == "optimal:attack=ipm:epsilon=0.5"
    assert label(vg.Dirichlet(0.3)) == "dirichlet:alpha=0.3"
    assert name_of(SPEC, "attack") == "no attack"
    assert name_of(SPEC, ("rule", "byzantine")) == "mean, byzantine 12"
    with pytest.raises(UnknownNameError, match="seed"):
        name_of(SPEC, "sede")
