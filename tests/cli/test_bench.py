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


def test_first_calls_that_could_not_be_timed_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.cli.bench.starts", lambda todo: {})
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
