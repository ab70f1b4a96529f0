"""A paper in miniature: real runs on digits, the table, the files, and going on after an interruption."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.running import Run

from varangian.experiments.recipes import RECIPES, MomentumRecipe, Scope
from varangian.experiments.store import Store
from varangian.experiments.sweeps import Failure, Outcome, carry_out
from varangian.specification import Experiment

SMALL = ("--data", "digits", "--steps", "3", "--jobs", "1", "--out", "out")


def numbers(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def accuracy_of(store: Store, place: str, byzantine: int) -> dict[str, float]:
    """Return the highest accuracies in a store, by rule and attack."""
    found = {}
    for spec in MomentumRecipe().settings(Scope(data="digits", steps=3)):
        if spec.byzantine == byzantine and (not byzantine or spec.momentum_at == place):
            values = store.read(spec).metrics.measured("step", "accuracy")[1]
            found[f"{spec.workers} {spec.rule!r} {spec.attack!r}"] = 100 * max(values)
    return found


def test_momentum_in_miniature(run: Run, elsewhere: Path) -> None:
    done = run("reproduce", "momentum", *SMALL)
    assert (done.code, done.err) == (0, "")
    title, columns, *_ = done.out.splitlines()
    assert title == "Worker momentum on digits: 8 pairs of runs"
    assert columns.split("  ")[0] == "what"
    assert "published (%)" in columns
    assert "> 60.00" in done.out
    assert "A pair is one setting and seed" in done.out
    assert done.out.splitlines()[-1].startswith("Wrote out: comparison.csv")
    for stem in ("gains", "accuracy-digits-24-of-51-lie-learning-rate-0_5"):
        assert all((elsewhere / "out" / f"{stem}.{kind}").is_file() for kind in ("png", "svg", "csv"))
    store = Store("out/store")
    assert len(store.scan().entries) == 18
    told = {row["what"]: row["ours"] for row in numbers(elsewhere / "out" / "comparison.csv")}
    calm = {key.split()[0]: value for key, value in accuracy_of(store, "update", 0).items()}
    cost = [calm["27"] - value for value in accuracy_of(store, "update", 24).values()]
    expected = 100 * sum(points > 20 for points in cost) / len(cost)
    assert told["half Byzantine: attack costs more than 20 points"] == f"{expected:.2f}"


def ending(after: int, *, interrupted: bool) -> Callable[..., Outcome]:
    """Return a ``carry_out`` that does so many runs, and then meets Ctrl-C, or fails in the next one."""

    def end(settings: list[Experiment], *given: Any, **options: Any) -> Outcome:
        outcome = carry_out(settings[:after], *given, **options)
        failures = [] if interrupted else [Failure(settings[after], "RuntimeError: it broke")]
        return Outcome(len(settings), outcome.already, outcome.finished, failures, interrupted)

    return end


@pytest.mark.parametrize(("interrupted", "code"), [(True, 130), (False, 1)])
def test_what_is_unfinished_is_told_and_so_is_how_to_go_on(
    interrupted: bool, code: int, run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = importlib.import_module("varangian.cli.reproduce")
    monkeypatch.setattr(command, "carry_out", ending(3, interrupted=interrupted))
    done = run("reproduce", "momentum", *SMALL)
    assert done.code == code
    assert "Worker momentum on digits" in done.out
    last = done.err.splitlines()[-1]
    assert last.removeprefix("interrupted: ") == "3 of 18 runs are done; give the same command to go on"
    assert last.startswith("interrupted") is interrupted
    assert ("it broke" in done.err) is not interrupted
    assert not list((elsewhere / "out").glob("*.png"))
    assert len(Store("out/store").scan().entries) == 3


def test_bucketing_in_miniature_as_released_and_again_without_running_anything(
    run: Run, elsewhere: Path
) -> None:
    options = ("--store", "kept", "--as-released", "--seeds", "1")
    done = run("reproduce", "BUCKETING", *SMALL, *options)
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if line.startswith("mimic, ")]
    assert len(lines) == 20
    assert all(line.split()[-1] == "–" for line in lines)
    assert "not comparable" in done.out
    assert (elsewhere / "out" / "mimic.png").is_file()
    assert len(Store("kept").scan().entries) == 20
    assert not (elsewhere / "out" / "store").exists()
    made = {path: path.stat().st_mtime_ns for path in (elsewhere / "kept/runs").rglob("*")}
    assert run("reproduce", "bucketing", *SMALL, *options).out == done.out
    assert {path: path.stat().st_mtime_ns for path in (elsewhere / "kept/runs").rglob("*")} == made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("momentun",), "Did you mean 'momentum'?"),
        (("momentum", "--seeds", "0"), "at least 1"),
        (("momentum", "--steps", "0"), "at least 1"),
        (("momentum", "--jobs", "0"), "x>=1"),
        (("momentum", "--data", "mnits"), "Did you mean 'mnist'?"),
        (("momentum", "--out", "taken/below"), "cannot be made"),
        (("momentum", "--device", "abacus"), "Use device='cpu'"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(
    words: tuple[str, ...], said: str, run: Run, elsewhere: Path
) -> None:
    (elsewhere / "taken").write_text("a file", encoding="utf-8")
    done = run("reproduce", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.startswith("error: ")


def test_help_says_what_each_paper_is_and_how_long_it_takes(run: Run) -> None:
    shown = " ".join(run("reproduce", "--help").out.split())
    for recipe in RECIPES:
        assert recipe.name in shown
        for words in (recipe.summary, recipe.quick, recipe.full, recipe.reference.short):
            assert " ".join(words.split()) in shown, recipe.name
