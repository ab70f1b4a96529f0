"""One experiment, or three: the table, the verdict, the files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.running import Run

import varangian
from varangian.cli import runs
from varangian.engines import Result

PNG = b"\x89PNG"


def parsed(text: str) -> Any:
    """Read JSON that is JSON: NaN and Infinity are not."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_the_defaults_are_a_battle(train: Run) -> None:
    done = train()
    assert (done.code, done.err) == (0, "")
    first, columns, row = done.out.splitlines()
    assert first == "digits, logistic, 20 workers, 3 steps, seed 1; attack Optimal()"
    assert re.split("  +", columns) == ["who lies", "rule", "test accuracy (%)", "seconds"]
    who, rule, accuracy, seconds = re.split("  +", row)
    assert (who, rule) == ("4 of 20", "chain(NearestNeighborMixing(f=4), TrimmedMean(f=4))")
    assert 0 <= float(accuracy) <= 100
    assert float(seconds) >= 0


def test_versus_is_three_rows_and_a_verdict(train: Run) -> None:
    _, _, calm, averaged, robust, verdict = train("--versus").out.splitlines()
    assert calm.split()[:2] == ["nobody", "Average()"]
    assert averaged.startswith("4 of 20   Average()")
    assert robust.startswith("4 of 20   chain(")
    cost = r"(loses|gains) (nothing|\d+\.\d points)"
    assert re.fullmatch(rf"Plain averaging {cost}; chain\(.*\) {cost}\.", verdict)


def test_the_verdict_is_the_difference_of_the_rows(train: Run) -> None:
    runs = parsed(train("--versus", "--attack", "nan", "--json", "-").out)["runs"]
    calm, averaged, _ = (run["accuracy"] for run in runs)
    lost = 100 * (calm - averaged)
    said = f"Plain averaging {'loses' if lost > 0 else 'gains'} {abs(lost):.1f} points; "
    assert said in train("--versus", "--attack", "nan").out


def test_a_run_that_diverged_says_so(train: Run) -> None:
    _, _, calm, averaged, robust, _ = train("--versus", "--attack", "nan").out.splitlines()
    assert "diverged" in averaged
    assert "diverged" not in calm + robust


def test_json_holds_all_that_was_asked_and_measured(train: Run, elsewhere: Path) -> None:
    done = train("--versus", "--attack", "nan", "--json", "out.json", "evaluate_every=2")
    assert done.out.splitlines()[-1] == "Wrote out.json"
    held = parsed((elsewhere / "out.json").read_text(encoding="utf-8"))
    assert held["version"] == varangian.__version__
    assert held["experiment"]["rule"] == "chain(NearestNeighborMixing(f=4), TrimmedMean(f=4))"
    assert held["experiment"]["attack"] == "NonFinite()"
    assert held["experiment"]["steps"] == 3
    calm, averaged, robust = held["runs"]
    assert [run["diverged"] for run in held["runs"]] == [False, True, False]
    assert (calm["attack"], averaged["rule"]) == (None, "Average()")
    assert robust["metrics"]["step"] == [1, 2, 3]
    assert robust["metrics"]["accuracy"][0] is None
    assert robust["metrics"]["accuracy"][2] == robust["accuracy"]
    assert all(len(column) == 3 for column in robust["metrics"].values())


def test_json_on_stdout_is_alone_there(train: Run, elsewhere: Path) -> None:
    pytest.importorskip("matplotlib")
    done = train("--json", "-", "--plot", "a.png")
    assert parsed(done.out)["runs"][0]["label"].startswith("4 of 20 lie, chain(")
    assert done.err == "Drew a.png\n"


def test_plot_draws_the_runs(train: Run, elsewhere: Path) -> None:
    pytest.importorskip("matplotlib")
    done = train("--plot", "a.png")
    assert done.out.splitlines()[-1] == "Drew a.png"
    assert (elsewhere / "a.png").read_bytes().startswith(PNG)
    assert not (elsewhere / "a-split.png").exists()


def test_plot_draws_an_uneven_split_beside(train: Run, elsewhere: Path) -> None:
    pytest.importorskip("matplotlib")
    done = train("--plot", "a.svg", "split=shards:1")
    assert done.out.splitlines()[-2:] == ["Drew a.svg", "Drew a-split.svg"]
    assert (elsewhere / "a-split.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_one_file_is_not_asked_to_be_two(train: Run, elsewhere: Path) -> None:
    pytest.importorskip("matplotlib")
    done = train("--plot", "a.png", "split=shards:1", "--json", "a-split.png")
    assert (done.code, done.out) == (2, "")
    assert "a-split.png would hold what --json writes, and then a picture" in done.err
    assert train("--quiet", "--plot", "a.png", "--json", "a.csv").code == 0  # no table is beside


def test_quiet_still_prints_the_table(train: Run) -> None:
    assert "who lies" in train("--quiet").out


def interrupting(after: int) -> Callable[..., Result]:
    """Return a ``run`` whose call number ``after`` + 1 meets Ctrl-C at its second step."""
    original, calls = runs.run, []

    def run(spec: Any, watch: Any, engine: Any) -> Result:
        calls.append(spec)

        def interrupted(stand: Any) -> None:
            watch(stand)
            if len(calls) > after and stand.step == 2:
                raise KeyboardInterrupt

        return original(spec, interrupted, engine=engine)

    return run


def test_ctrl_c_prints_what_was_finished(
    train: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "run", interrupting(after=1))
    done = train("--versus", "--json", "out.json")
    assert done.code == 130
    assert done.err == "interrupted: run 2 of 3 (4 of 20 lie, Average) ended after step 2 of 3\n"
    columns, *rows = done.out.splitlines()
    assert columns.startswith("who lies")
    assert [row.split()[0] for row in rows] == ["nobody"]
    assert not (elsewhere / "out.json").exists()


def test_ctrl_c_in_the_first_run_leaves_stdout_empty(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "run", interrupting(after=0))
    done = train()
    assert (done.code, done.out) == (130, "")
    assert done.err.count("\n") == 1


def test_an_unexpected_error_is_a_bug_and_keeps_its_traceback(
    train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(runs, "run", broken)
    with pytest.raises(ZeroDivisionError):
        train()


def test_help_names_every_flag_and_every_field(run: Run) -> None:
    shown = run("train", "--help").out
    flags = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", shown, re.M)) - {"--help"}
    assert len(flags) == 16
    assert "learning_rate" in shown
    assert "nnm+trmean" in shown


PRIVATE = "privacy=epsilon=0.2,norm=0.01"


def test_privacy_is_told_by_what_it_cost_and_whether_the_rule_can_bear_it(train: Run) -> None:
    *_, budget, condition = train(PRIVATE).out.splitlines()
    assert budget == (
        "Privacy spent: epsilon = 0.252 at delta = 1e-06, whatever the batches; each sample is one worker's."
    )
    assert "proves nothing here: with d = 650 and b = 32 the noise alone deviates by" in condition
    assert "(workers' momentum 0.9 counted)" in condition
    assert re.search(r"A batch of at least \d+ would do\.$", condition)
    *_, condition = train("privacy=epsilon=0.9,norm=0.01", "batch_size=1000").out.splitlines()
    assert condition.startswith("The noise does not stand in the way of chain(")


def test_who_draws_from_the_same_samples_spends_more(train: Run) -> None:
    *_, budget = train(PRIVATE, "split=pooled", "local_steps=2", "--byzantine", "0").out.splitlines()
    spent = float(budget.split()[4])
    privacy = varangian.Privacy(epsilon=0.2, norm=0.01)
    assert spent == pytest.approx(varangian.privacy.spent(privacy, steps=2 * 3 * 20), rel=1e-2)
    assert budget.endswith("; 20 draw from the same samples.")


def test_privacy_without_a_guarantee_is_told(train: Run) -> None:
    out = train(f"{PRIVATE},clip=batch").out
    assert "\nPrivacy spent: no guarantee: clipping the mean of a batch bounds no sample.\n" in out
    assert "Privacy" not in train().out


def test_what_is_missing_to_count_privacy_is_told(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    done = train(PRIVATE)
    assert done.code == 0
    assert "\nPrivacy spent: " in done.out
    assert "pip install 'varangian[privacy]'" in done.out
