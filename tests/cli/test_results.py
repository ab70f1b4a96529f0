"""``varangian results``: tables of runs, chosen, grouped and exported."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from statistics import mean, stdev

import pytest
from cli.running import Run
from experiments.grids import tiny

import varangian as vg
from varangian.experiments.store import Store
from varangian.specification import identity

SPECS = [
    tiny(seed=seed, byzantine=1, rule=rule, attack=attack)
    for rule in (vg.Average(), vg.Median(f=1))
    for attack in (vg.SignFlip(), vg.ALittleIsEnough(z=1.5))
    for seed in (1, 2)
]


@pytest.fixture(scope="module")
def runs() -> list[vg.Result]:
    return vg.run(SPECS)


@pytest.fixture(autouse=True)
def store(elsewhere: Path, runs: list[vg.Result]) -> Store:
    """Fill the store that is looked at by default."""
    store = Store("store")
    for result in runs:
        store.write(result)
    return store


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_row_per_run_with_the_fields_that_vary(run: Run, runs: list[vg.Result]) -> None:
    done = run("results")
    assert (done.code, done.err) == (0, "")
    first, header, *listed = rows(done.out)
    assert first == ["8", "runs,", "data", "digits,", "model", "logistic,", "steps", "4"]
    assert header[:4] == ["run", "rule", "attack", "seed"]
    assert {row[0] for row in listed} == {identity(result.experiment)[:8] for result in runs}
    assert {(row[1], row[2], row[3]) for row in listed} == {
        (rule, attack, seed)
        for rule in ("mean", "median")
        for attack in ("signflip", "alie:z=1.5")
        for seed in "12"
    }


CHOICES = [
    (["rule=median"], 4),
    (["rule=MEDIAN:f=1"], 4),
    (["rule=median:f=2"], 0),
    (["rule=mean", "seed=1"], 2),
    (["attack=alie"], 0),
    (["attack=alie:z=1.5"], 4),
    (["attack~alie"], 4),
    (["attack~little"], 4),
    (["attack~z=1.5", "seed=2", "rule~med"], 1),
    (["split=iid"], 8),
    (["split=dirichlet:0.3"], 0),
    (["data=DIGITS"], 8),
    (["clip=none"], 8),
    (["learning_rate=0.05"], 8),
    (["learning_rate=5e-2", "steps=4"], 8),
    (["privacy=none"], 8),
    ([f"run={identity(SPECS[3])[:6]}"], 1),
]


@pytest.mark.parametrize(("words", "count"), CHOICES, ids=str)
def test_conditions_choose(words: list[str], count: int, run: Run) -> None:
    done = run("results", *words, "--json")
    assert (done.code, len(json.loads(done.out))) == (0, count)
    assert run("results", *words).out.startswith(f"{count} run" if count else "No run meets")


def test_a_pivot_is_mean_and_deviation_over_the_seeds(run: Run, runs: list[vg.Result]) -> None:
    done = run("results", "--by", "rule", "--columns", "attack")
    first, header, *listed = done.out.splitlines()
    assert first == "test accuracy (%), mean ± deviation (runs)."
    assert header.split() == ["rule", "signflip", "alie:z=1.5"]
    values = [100 * result.accuracy for result in runs if result.experiment.rule == vg.Median(f=1)]
    shown = [f"{mean(pair):.1f} ± {stdev(pair):.1f} (2)" for pair in (values[:2], values[2:])]
    assert listed[1].split("  ", 1)[0] == "median"
    assert all(cell in listed[1] for cell in shown)


def test_what_is_averaged_over_beside_the_seed_is_said(run: Run) -> None:
    assert "Each mean also runs over attack; add conditions" in run("results", "--by", "rule").out
    assert "also" not in run("results", "--by", "rule", "attack~alie").out


def test_a_pivot_of_any_metric(run: Run, runs: list[vg.Result]) -> None:
    done = run("results", "--by", "seed", "--value", "loss", "rule=mean", "attack=signflip", "--json")
    expected = {r.experiment.seed: r.metrics.last("loss") for r in runs[:2]}
    told = json.loads(done.out)
    assert {row["seed"]: row["mean"] for row in told} == expected
    assert [(row["std"], row["runs"], row["value"]) for row in told] == [(None, 1, "loss")] * 2


def test_csv_has_every_field(run: Run, runs: list[vg.Result]) -> None:
    done = run("results", "--csv")
    listed = list(csv.DictReader(io.StringIO(done.out)))
    assert {row["run"] for row in listed} == {identity(result.experiment) for result in runs}
    assert {row["learning_rate"] for row in listed} == {"0.05"}
    by_run = {identity(result.experiment): result for result in runs}
    assert all(float(row["accuracy"]) == by_run[row["run"]].accuracy for row in listed)


def test_a_diverged_run_is_told(run: Run, store: Store) -> None:
    store.write(vg.run(tiny(byzantine=1, attack=vg.NonFinite(), steps=5)))
    assert "diverged" in run("results", "steps=5").out
    (row,) = json.loads(run("results", "steps=5", "--value", "loss", "--json").out)
    assert (row["diverged"], row["loss"]) == (True, None)
    assert math.isfinite(row["accuracy"])


def test_a_damaged_run_hides_nothing_and_is_told(run: Run, store: Store) -> None:
    path = store.runs / identity(SPECS[0]) / "summary.json"
    path.write_text("", encoding="utf-8")
    done = run("results", "--json")
    assert (done.code, len(json.loads(done.out))) == (1, len(SPECS) - 1)
    assert done.err.startswith(f"error: {path} is no summary of a run")
    assert "Remove the folder" in done.err


REFUSED = [
    (["rulee=krum"], "Did you mean 'rule'?"),
    (["rule"], "is no condition"),
    (["rule=krumm"], "Did you mean 'krum'?"),
    (["attack=aliee"], "Did you mean 'alie'?"),
    (["--by", "rulle"], "Did you mean 'rule'?"),
    (["--by", "rule", "--columns", "atack"], "Did you mean 'attack'?"),
    (["--columns", "attack"], "add --by FIELD"),
    (["--value", "acuracy"], "Did you mean 'accuracy'?"),
    (["--by", "rule", "--value", "acuracy"], "Did you mean 'accuracy'?"),
    (["--json", "--csv"], "give one of them"),
    (["--store", "nowhere"], "nowhere is no store"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_refused(words: list[str], said: str, run: Run) -> None:
    done = run("results", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
