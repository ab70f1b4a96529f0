"""Rules measured on the spot: a table, a file, a picture, and what was measured before Ctrl-C."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.running import Run

from varangian.experiments.bench import FLOOR, OURS, Case, Measured, Start, measured

SMALL = ("--rule", "median", "--n", "5", "--d", "1e3")
FIRST = Start(0.5, 0.25)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the first calls as timed, which the room's own tests time, and no library as installed."""
    monkeypatch.setattr("varangian.cli.bench.installed", lambda: iter(()))
    monkeypatch.setattr(
        "varangian.cli.bench.starts", lambda todo: {(case.text, case.n, case.dtype): FIRST for case in todo}
    )


def test_a_table_a_file_and_a_picture(run: Run, elsewhere: Path) -> None:
    done = run("bench", *SMALL, "--rule", "krum", "--dtype", "float64", "--json", "a.json", "--plot", "a.svg")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    columns = next(line for line in lines if line.startswith("rule "))
    for column in ("CPU ms", "GB/s", "% of floor", "from disk", "torch"):
        assert column in columns
    (row,) = (line for line in lines if line.startswith("median "))
    assert row.split()[:5] == ["median", "5", "0", "1000", "float64"]
    assert row.split()[11:13] == ["500", "250"]
    assert lines[-1] == "Wrote a.svg, a.csv"
    written = json.loads((elsewhere / "a.json").read_text(encoding="utf-8"))
    assert written["command"].startswith("varangian")
    assert {"processor", "threads", "torch", "commit", "peers"} <= set(written["machine"])
    first, second = written["cases"]
    assert (first["rule"], first["reads"], second["rule"]) == ("Median(f=0)", 1, "Krum(f=0)")
    assert (first["first_call"], first["first_call_from_disk"]) == FIRST
    assert {OURS, FLOOR, "torch.median"} <= set(first["candidates"])
    assert first["bytes"] == 5 * 1000 * 8
    with (elsewhere / "a.csv").open(encoding="utf-8", newline="") as file:
        assert {row["who"] for row in csv.DictReader(file)} >= {OURS, FLOOR, "torch.median", "torch.cdist"}


def test_threads_are_asked_for_and_given_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.cli.bench.usable_cores", lambda: 3)
    before = torch.get_num_threads()
    assert "threads: 3" in run("bench", *SMALL, "--threads", "3").out.splitlines()
    assert torch.get_num_threads() == before


def test_more_threads_than_cores_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.cli.bench.usable_cores", lambda: 3)
    done = run("bench", *SMALL, "--threads", "4")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: --threads 4: pass at most 3, the number of cores that this process may use.\n"


def test_what_was_measured_outlives_ctrl_c(
    run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(todo: list[Case], *given: Any) -> Iterator[Measured]:
        yield from measured(todo[:1], *given)
        raise KeyboardInterrupt

    monkeypatch.setattr("varangian.cli.bench.measured", interrupted)
    done = run("bench", *SMALL, "--n", "7", "--json", "a.json")
    assert (done.code, done.err) == (130, "interrupted: 1 of 2 cases are measured\n")
    assert "\nmedian " in done.out
    assert [case["n"] for case in json.loads(Path("a.json").read_text(encoding="utf-8"))["cases"]] == [5]


def test_ctrl_c_before_anything_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(todo: list[Case]) -> dict[Any, Start]:
        raise KeyboardInterrupt

    monkeypatch.setattr("varangian.cli.bench.starts", interrupted)
    done = run("bench", *SMALL, "--plot", "a.png")
    assert (done.code, done.err) == (130, "interrupted: 0 of 1 cases are measured\n")
    assert not Path("a.png").exists()


REFUSED = [
    (("--rule", "medain"), "'median'"),
    (("--rule", "krum|median"), "one by one"),
    (("--rule", "bulyan", "--n", "6"), "n >= 4f + 3"),
    (("--n", "few"), "'few' is no whole number of at least 1"),
    (("--n", "2.5"), "'2.5' is no whole number"),
    (("--d", "10"), "'10' is no whole number of at least 1000"),
    (("--d", "1e15"), "GiB"),
    (("--dtype", "int8"), "int8"),
    (("--threads", "0"), "0"),
    (("--plot", "a.pdf"), ".svg"),
    (("--json", "nowhere/a.json"), "nowhere"),
    (("--fast",), "--fast"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_mistakes_are_refused_in_a_line_or_two(words: tuple[str, ...], said: str, run: Run) -> None:
    done = run("bench", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


SAME = [
    ("--json", "a.csv", "--plot", "a.png"),
    ("--json", "b.png", "--plot", "b.png"),
    ("--json", "./b.svg", "--plot", "b.svg"),
    ("--json", "linked", "--plot", "b.svg"),
    ("--plot", "folder.png"),
]


@pytest.mark.parametrize("words", SAME, ids=" ".join)
def test_files_that_would_not_all_be_written_are_refused_before_anything_is_measured(
    words: tuple[str, ...], run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varangian.cli.bench.starts", lambda todo: pytest.fail("too late"))
    (elsewhere / "folder.csv").mkdir()
    (elsewhere / "linked").symlink_to("b.csv")
    done = run("bench", *SMALL, *words)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert ("folder.csv" if "folder.png" in words else "another file") in done.err
    assert sorted(file.name for file in elsewhere.iterdir()) == ["folder.csv", "linked"]


def test_help_names_all_files(run: Run) -> None:
    assert "CSV beside" in run("bench", "--help").out


def test_where_every_case_is_refused_nothing_is_drawn(
    run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varangian.cli.bench.starts", lambda todo: {})
    hopeless = ("--rule", "smea:nodes=1", "--n", "25", "--d", "1e3")
    done = run("bench", *hopeless, "--plot", "a.svg", "--json", "a.json")
    assert (done.code, done.err) == (1, "Every case was refused; nothing is measured.\n")
    assert "SearchLimitError" in done.out
    assert "failed" not in done.out
    assert [file.name for file in elsewhere.iterdir()] == ["a.json"]
    assert run("bench", *hopeless, "--rule", "median").code == 0


def test_of_a_rule_that_declares_no_f_it_is_told_how_many_lie(run: Run, elsewhere: Path) -> None:
    done = run("bench", "--rule", "mean", "--n", "13", "--d", "1e3", "--json", "a.json")
    (row,) = (line for line in done.out.splitlines() if line.startswith("mean "))
    assert row.split()[:3] == ["mean", "13", "2"]
    assert json.loads((elsewhere / "a.json").read_text(encoding="utf-8"))["cases"][0]["f"] == 2


def test_first_calls_that_could_not_be_timed_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.cli.bench.starts", lambda todo: None)
    assert "The first calls are not known" in run("bench", *SMALL).out


def test_results_that_differ_and_who_failed_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(todo: list[Case], *given: Any) -> Iterator[Measured]:
        for found in measured(todo, *given):
            found.apart["torch.median"] = 0.25
            found.notes["ByzFL"] = "left out: copies 8 GiB"
            yield found

    monkeypatch.setattr("varangian.cli.bench.measured", odd)
    done = run("bench", *SMALL)
    assert done.out.splitlines()[-2:] == [
        "ByzFL, median: left out: copies 8 GiB (n = 5)",
        "torch.median, median: another result (n = 5 by 0.2)",
    ]
    (row,) = (line for line in done.out.splitlines() if line.startswith("median "))
    assert row.endswith("x*")
