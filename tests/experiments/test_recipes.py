"""Recipes: how many runs they are, what each is, and what is made of results that are known."""

from __future__ import annotations

import csv
import math
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from experiments.traces import flat, trace

import varangian as vg
from varangian.data import DATASETS
from varangian.errors import ParameterError
from varangian.experiments.recipes import RECIPES, Line, Number, Recipe, Scope, mean, share
from varangian.experiments.recipes.bucketing import (
    PUBLISHED,
    PUBLISHED_FLIP,
    BucketingRecipe,
    bucket_size,
    data_name,
    rule_name,
)
from varangian.experiments.recipes.momentum import MomentumRecipe
from varangian.experiments.recipes.shares import PUBLISHED as SHARES
from varangian.experiments.recipes.shares import REGAIN, trios
from varangian.experiments.view import Trace
from varangian.specification import from_strings, identity, to_toml

MOMENTUM, BUCKETING = MomentumRecipe(), BucketingRecipe()
WHOLE, QUICK, RELEASED = Scope(full=True), Scope(), Scope(full=True, as_released=True)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("full", [False, True])
def test_every_run_is_an_experiment_of_its_own_that_a_store_can_hold(recipe: Recipe, full: bool) -> None:
    settings = recipe.settings(Scope(full=full, seeds=2))
    assert len({identity(spec) for spec in settings}) == len(settings)
    assert len({spec.seed for spec in settings}) == 2
    for spec in settings[:: max(1, len(settings) // 20)]:
        assert from_strings(tomllib.loads(to_toml(spec))) == spec


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_says_what_it_is(recipe: Recipe) -> None:
    assert recipe.name == recipe.name.lower()
    assert recipe.reference.short
    for words in (recipe.summary, recipe.quick, recipe.full):
        assert len(words) > 20
        assert not words.endswith(".")
    assert recipe.datasets
    assert set(recipe.datasets) <= {source.name for source in DATASETS}


def test_one_data_set_has_184_settings_and_all_have_736() -> None:
    counts = [len(MOMENTUM.settings(Scope(full=True, seeds=1, data=name))) for name in MOMENTUM.datasets]
    assert counts == [184] * 4
    assert sum(counts) == 736
    assert len(MOMENTUM.settings(WHOLE)) == 184 * 5
    assert {spec.seed for spec in MOMENTUM.settings(WHOLE)} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("name", MOMENTUM.datasets)
def test_the_grid_is_eleven_rules_twice_four_times_and_eight_baselines(name: str) -> None:
    settings = MOMENTUM.settings(Scope(full=True, seeds=1, data=name))
    calm = [spec for spec in settings if not spec.byzantine]
    attacked = [spec for spec in settings if spec.byzantine]
    assert len(calm) == 8
    assert all(spec.rule == vg.Average() and spec.attack is None for spec in calm)
    rules = Counter((type(spec.rule).__name__, spec.byzantine) for spec in attacked)
    assert len(rules) == 11
    assert set(rules.values()) == {16}
    assert [f for rule, f in rules if rule == "MultiBulyan"] == [min(spec.byzantine for spec in attacked)]
    for values in (
        Counter(spec.momentum_at for spec in attacked),
        Counter(spec.nesterov for spec in attacked),
        Counter(spec.learning_rate for spec in attacked),
        Counter(spec.attack for spec in attacked),
    ):
        assert sorted(values.values()) == [88, 88]
    assert {spec.rule.f for spec in attacked} == {spec.byzantine for spec in attacked}
    honest = {spec.honest for spec in attacked}
    assert {spec.workers for spec in calm} == honest


def test_the_mnist_column_is_the_published_one() -> None:
    for spec in MOMENTUM.settings(WHOLE):
        assert (spec.workers + (0 if spec.byzantine else 51 - spec.workers)) == 51
        assert (spec.data, spec.model, spec.loss) == ("mnist", "mlp", "nll")
        assert (spec.batch_size, spec.steps, spec.evaluate_every) == (83, 300, 5)
        assert (spec.momentum, spec.clip, spec.l2, spec.l2_norm) == (0.9, 2.0, 1e-4, 0.0)
        assert spec.learning_rate in (0.5, 0.02)
        assert (spec.flip, spec.evaluation_mode, spec.split) == (False, False, vg.IID())


def test_the_cifar_column_is_the_published_one() -> None:
    settings = MOMENTUM.settings(Scope(full=True, data="cifar100"))
    assert {spec.workers for spec in settings} == {25, 20, 14}
    assert {spec.byzantine for spec in settings} == {0, 5, 11}
    spec = settings[-1]
    assert (spec.model, spec.batch_size, spec.steps, spec.evaluate_every) == ("cnn-cifar", 50, 3000, 100)
    assert (spec.momentum, spec.clip, spec.l2, spec.flip) == (0.99, 5.0, 1e-2, True)
    fast = next(s.learning_rate for s in settings if isinstance(s.learning_rate, vg.InverseDecay))
    assert [fast.rate(step) for step in (0, 1499, 1500, 2999)] == pytest.approx(
        [0.01, 0.01, 0.01 / (1 + 1500 / 167), 0.01 / (1 + 1500 / 167)]
    )
    assert 0.001 in {spec.learning_rate for spec in settings}


def test_as_released_differs_where_the_release_does_and_nowhere_else() -> None:
    for plain, old in zip(MOMENTUM.settings(WHOLE), MOMENTUM.settings(RELEASED), strict=True):
        assert (old.l2, old.evaluation_mode, old.split) == (0.0, True, vg.Pooled())
        assert old.l2_norm == pytest.approx(1e-8)
        back = {"l2": 1e-4, "l2_norm": 0.0, "evaluation_mode": False, "split": vg.IID(), "rule": plain.rule}
        assert replace(old, **back) == plain  # type: ignore[arg-type]
    rules = {repr(spec.rule) for spec in MOMENTUM.settings(RELEASED) if spec.byzantine == 12}
    assert rules == {
        "MultiKrum(f=12, as_released=True)",
        "Median(f=12, as_released=True)",
        "TrimmedMean(f=12)",
        "Phocas(f=12)",
        "MeanAroundMedian(f=12, as_released=True)",
        "Bulyan(f=12, as_released=True)",
    }


def test_quick_is_a_part_of_the_whole() -> None:
    whole = set(MOMENTUM.settings(WHOLE))
    quick = MOMENTUM.settings(QUICK)
    assert len(quick) == 18
    assert set(quick) <= whole


def test_steps_data_and_device_are_passed_on() -> None:
    for recipe in (MOMENTUM, BUCKETING):
        scope = Scope(steps=7, data="digits", data_dir="somewhere", seeds=3)
        for spec in recipe.settings(scope):
            assert (spec.steps, spec.data, spec.data_dir) == (7, "digits", "somewhere")


@pytest.mark.parametrize("field", ["seeds", "steps"])
@pytest.mark.parametrize("value", [0, -1])
def test_impossible_scopes_are_refused(field: str, value: int) -> None:
    with pytest.raises(ParameterError, match="at least 1"):
        Scope(**{field: value})  # type: ignore[arg-type]


def momentum_runs(update: Any, worker: Any, calm: float = 0.9) -> list[Trace]:
    """Return quick runs of a single f = 24, with accuracies by rule and attack."""
    runs = []
    for spec in MOMENTUM.settings(Scope(steps=3)):
        if not spec.byzantine:
            runs.append(flat(spec, calm))
        else:
            chosen = update if spec.momentum_at == "update" else worker
            runs.append(trace(spec, [0.0, chosen(spec), 0.05]))
    return runs


def ours(comparison: Any) -> dict[str, float]:
    return {line.what: line.ours.value for line in comparison.lines}


def test_shares_of_known_accuracies() -> None:
    half = {"MultiKrum": 0.1, "Median": 0.75}
    runs = momentum_runs(
        lambda spec: half[type(spec.rule).__name__] if spec.byzantine == 24 else 0.85,
        lambda spec: 0.45 if spec.byzantine == 24 else 0.84,
    )
    shares = ours(MOMENTUM.report(runs, QUICK))
    assert shares["all: attack costs more than 10 points"] == 50
    assert shares["all: attack costs more than 20 points"] == 25
    assert shares["all: of those, worker momentum wins back more than 20"] == 100
    assert shares["all: of those, worker momentum wins back more than 10"] == 50
    assert shares["all: worker momentum is worse"] == 75
    assert shares["all: worker momentum is worse by more than 5 points"] == 25
    assert shares["half Byzantine: attack costs more than 20 points"] == 50
    assert shares["half Byzantine: worker momentum is worse"] == 50
    assert shares["a quarter Byzantine: attack costs more than 10 points"] == 0
    assert math.isnan(shares["a quarter Byzantine: of those, worker momentum wins back more than 20"])


def test_the_highest_accuracy_counts_and_exactly_twenty_is_not_more() -> None:
    runs = momentum_runs(lambda spec: 0.65, lambda spec: 0.85, calm=0.85)
    shares = ours(MOMENTUM.report(runs, QUICK))
    assert shares["all: attack costs more than 10 points"] == 100
    assert trios(runs)[0].lost == pytest.approx(20)


def test_pairs_meet_the_baseline_of_their_own_seed_and_rate() -> None:
    runs = []
    for spec in MOMENTUM.settings(Scope(full=True, seeds=2, steps=3)):
        known = 0.5 + 0.1 * spec.seed + 0.05 * spec.nesterov + 0.01 * (spec.learning_rate == 0.5)
        runs.append(flat(spec, known + 0.001 * spec.honest if not spec.byzantine else 0.3))
    for trio in trios(runs):
        assert trio.calm - 0.001 * (51 - trio.byzantine) in [
            pytest.approx(0.5 + 0.1 * seed + 0.05 * nesterov + 0.01 * fast)
            for seed in (1, 2)
            for nesterov in (0, 1)
            for fast in (0, 1)
        ]
    assert len(trios(runs)) == 2 * 88
    assert len({trio.calm for trio in trios(runs)}) == 2 * 8


def test_without_partners_nothing_is_counted() -> None:
    runs = momentum_runs(lambda spec: 0.3, lambda spec: 0.6)
    assert trios([run for run in runs if run.experiment.byzantine]) == []
    assert trios([run for run in runs if run.experiment.momentum_at == "update"]) == []
    assert all(math.isnan(value) for value in ours(MOMENTUM.report([], QUICK)).values())


def test_published_shares_stand_beside_those_they_are_about() -> None:
    runs = momentum_runs(lambda spec: 0.3, lambda spec: 0.8)
    published = {line.what: line.published for line in MOMENTUM.report(runs, WHOLE).lines if line.published}
    assert {what: str(number) for what, number in published.items()} == {
        "all: of those, worker momentum wins back more than 20": "> 60.00",
        "all: worker momentum is worse": "0.23",
    }
    scope = Scope(full=True, data="cifar10")
    published = {line.what: line.published for line in MOMENTUM.report([], scope).lines if line.published}
    assert {what: number.value for what, number in published.items() if number} == {
        "all: of those, worker momentum wins back more than 20": 60.0,
        "all: worker momentum is worse": 0.23,
        "half Byzantine: attack costs more than 20 points": 100.0,
        "half Byzantine: of those, worker momentum wins back more than 10": 79.75,
        "half Byzantine: of those, worker momentum wins back more than 20": 49.25,
        "a quarter Byzantine: attack costs more than 20 points": 46.46,
        "a quarter Byzantine: of those, worker momentum wins back more than 20": 95.07,
    }


def test_published_shares_are_whole_numbers_of_pairs() -> None:
    """The paper's percentages are counts: 400 pairs with half Byzantine, 480 with a quarter, 1760 in all."""
    pairs = {"half Byzantine": 5 * 2 * 40, "a quarter Byzantine": 5 * 2 * 48, "all": 5 * 4 * 88}
    effective = {"a quarter Byzantine": round(0.4646 * 480)}
    for (_, group, what), number in SHARES.items():
        if number.bound:
            continue
        of = effective.get(group, pairs[group]) if what.startswith(REGAIN[:8]) else pairs[group]
        hits = round(number.value / 100 * of)
        assert number.value == pytest.approx(100 * hits / of, abs=0.005), (group, what)


def test_quick_numbers_do_not_claim_to_agree() -> None:
    runs = momentum_runs(lambda spec: 0.3, lambda spec: 0.8)
    assert {line.agrees for line in MOMENTUM.report(runs, QUICK).lines} == {None}
    lines = {line.what: line.agrees for line in MOMENTUM.report(runs, WHOLE).lines}
    assert lines["all: of those, worker momentum wins back more than 20"] is True


def test_the_mimic_table_is_five_rules_by_four() -> None:
    settings = BUCKETING.settings(Scope(full=True))
    assert {spec.seed for spec in settings} == {0, 1, 2}
    assert len(settings) == 3 * (20 + 2)
    assert len(BUCKETING.settings(RELEASED)) == 3 * (20 + 3)
    mimic = [spec for spec in settings if isinstance(spec.attack, vg.Mimic) and spec.seed == 0]
    assert {(rule_name(spec), data_name(spec), bucket_size(spec)) for spec in mimic} == set(PUBLISHED)
    for spec in mimic:
        assert (spec.workers, spec.byzantine, spec.steps, spec.batch_size) == (25, 5, 600, 32)
        assert (spec.model, spec.learning_rate, spec.momentum, spec.evaluate_every) == (
            "cnn-mnist",
            0.01,
            0,
            30,
        )
        assert spec.split in (vg.Pooled(), vg.SortedBlocks(20))
    rules = {repr(spec.rule) for spec in mimic if not bucket_size(spec)}
    assert rules == {
        "Average()",
        "Krum(f=5)",
        "Median(f=5)",
        "GeometricMedian(f=5, nu=0.1, steps=8)",
        "CenteredClipping(f=5, radius=10.0, steps=3)",
    }


def test_the_label_flip_row_runs_where_krum_may() -> None:
    flips = [s for s in BUCKETING.settings(Scope(full=True, seeds=1)) if isinstance(s.attack, vg.LabelFlip)]
    assert [bucket_size(spec) for spec in flips] == [0, 2]
    assert {(spec.workers, spec.byzantine, spec.steps) for spec in flips} == {(20, 3, 1200)}
    old = [s for s in BUCKETING.settings(replace(RELEASED, seeds=1)) if isinstance(s.attack, vg.LabelFlip)]
    assert [bucket_size(spec) for spec in old] == [0, 2, 3]
    assert {(spec.workers, spec.byzantine) for spec in old} == {(20, 2)}
    assert {spec.split for spec in old} == {vg.SortedBlocks(18)}


def test_quick_bucketing_says_that_it_is_another_model() -> None:
    assert {spec.model for spec in BUCKETING.settings(QUICK)} == {"mlp"}
    report = BUCKETING.report([], QUICK)
    assert any("not comparable" in note for note in report.notes)
    assert {line.comparable for line in report.lines} == {False}


def test_published_accuracies_are_all_there_in_percent() -> None:
    table = {
        "Average": "93.20 ± .21 | 92.73 ± .32 | 93.17 ± .23 | 92.67 ± .27",
        "Krum": "90.36 ± .25 | 37.33 ± 6.78 | 91.64 ± .30 | 53.15 ± 3.96",
        "Median": "90.80 ± .12 | 64.27 ± 3.70 | 91.91 ± .24 | 78.60 ± 3.15",
        "GeometricMedian": "92.92 ± .25 | 78.93 ± 9.27 | 93.00 ± .23 | 91.17 ± .51",
        "CenteredClipping": "93.16 ± .22 | 91.53 ± .06 | 93.17 ± .23 | 92.56 ± .21",
    }
    columns = [("iid", 0), ("non-iid", 0), ("iid", 2), ("non-iid", 2)]
    read = {
        (rule, data, s): Number(*map(float, cell.split("±")))
        for rule, row in table.items()
        for (data, s), cell in zip(columns, row.split("|"), strict=True)
    }
    assert read == PUBLISHED
    assert {s: str(number) for s, number in PUBLISHED_FLIP.items()} == {
        0: "0.64 ± 0.09",
        2: "72.47 ± 2.40",
        3: "84.87 ± 0.14",
    }


def test_a_cell_is_the_mean_over_seeds_of_the_mean_of_five_evaluations() -> None:
    runs = []
    for spec in BUCKETING.settings(Scope(full=True)):
        tail = [0.1] + [0.9 + 0.01 * spec.seed] * 4 + [0.85 + 0.01 * spec.seed]
        runs.append(trace(spec, tail))
    line = next(
        line for line in BUCKETING.report(runs, WHOLE).lines if line.what == "mimic, Krum, iid, s = 0"
    )
    assert line.ours.value == pytest.approx(90)
    assert line.ours.spread == pytest.approx(100 * math.sqrt(2 / 3) * 0.01)
    assert line.difference == pytest.approx(90 - 90.36)
    assert line.agrees is True
    line = next(
        line for line in BUCKETING.report(runs, WHOLE).lines if line.what.startswith("mimic, Median, non")
    )
    assert line.agrees is False
    assert next(line for line in BUCKETING.report(runs, WHOLE).lines if "s = 3" in line.what).agrees is None


def test_an_interrupted_recipe_reports_what_there_is() -> None:
    settings = BUCKETING.settings(Scope(full=True))
    report = BUCKETING.report([flat(settings[0], 0.5)], WHOLE)
    values = [line.ours.value for line in report.lines]
    assert sum(not math.isnan(value) for value in values) == 1
    assert len(report.lines) == 23


@pytest.mark.parametrize(
    ("published", "value", "verdict"),
    [
        (Number(50, 1), 53, True),
        (Number(50, 1), 53.01, False),
        (Number(50), 50, None),
        (Number(60, bound=">"), 60.1, True),
        (Number(60, bound=">"), 60, False),
        (Number(60, bound="<"), 59, True),
        (None, 50, None),
        (Number(50, 1), math.nan, None),
    ],
)
def test_what_agrees(published: Number | None, value: float, verdict: bool | None) -> None:
    assert Line("it", published, Number(value)).agrees is verdict
    assert Line("it", published, Number(value), comparable=False).agrees is None


def test_means_and_shares() -> None:
    assert mean([90.0, 92.0, 94.0]) == Number(92.0, math.sqrt(8 / 3))
    assert mean([90.0]) == Number(90.0)
    assert math.isnan(mean([]).value)
    assert share(3, 8) == Number(37.5)
    assert math.isnan(share(0, 0).value)


def test_the_comparison_is_written_as_csv(tmp_path: Path) -> None:
    path = BUCKETING.report([], WHOLE).write_csv(tmp_path / "comparison.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 23
    assert rows[0] == {
        "what": "mimic, Average, iid, s = 0",
        "published": "93.20 ± 0.21",
        "ours": "–",
        "difference": "–",
        "agrees": "–",
    }


def test_momentum_draws_its_figures(tmp_path: Path) -> None:
    runs = momentum_runs(lambda spec: 0.3, lambda spec: 0.8)
    ratio = [0.5, 1.0, 2.0]
    runs = [Trace(run.experiment, {**run.metrics, "variance_to_norm": ratio}) for run in runs]
    paths = MOMENTUM.draw(runs, tmp_path)
    names = sorted(path.stem for path in paths if path.suffix == ".png")
    assert len(names) == 2 * 2 + 1
    assert "gains" in names
    assert {path.suffix for path in paths} == {".png", ".svg", ".csv"}
    assert all(path.is_file() for path in paths)
    curve = next(path for path in paths if path.suffix == ".csv" and path.stem.startswith("accuracy-"))
    with curve.open(encoding="utf-8", newline="") as file:
        assert {row["line"] for row in csv.DictReader(file)} == {"mean, no attack", "multi-krum", "median"}


def test_bucketing_draws_its_figures(tmp_path: Path) -> None:
    runs = [flat(spec, 0.5) for spec in BUCKETING.settings(Scope(full=True))]
    names = {path.name for path in BUCKETING.draw(runs, tmp_path)}
    assert names == {
        f"{stem}.{kind}"
        for stem in ("mimic", "mimic-curves", "flip-curves")
        for kind in ("png", "svg", "csv")
    }


@pytest.mark.parametrize("recipe", [MOMENTUM, BUCKETING], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("as_released", [False, True])
def test_what_a_recipe_asks_for_trains(recipe: Recipe, as_released: bool) -> None:
    scope = Scope(steps=2, data="digits", as_released=as_released)
    settings = recipe.settings(scope)
    results = vg.run([settings[0], settings[5], settings[-1]])
    assert all(not result.diverged and 0 <= result.accuracy <= 1 for result in results)
    assert len({tuple(result.parameters[:50].tolist()) for result in results}) == 3
    lines = recipe.report(results, scope).lines
    assert len(lines) == len(recipe.report([], scope).lines)
