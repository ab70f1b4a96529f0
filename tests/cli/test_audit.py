"""``varangian audit`` as a person, or a pipeline, starts it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from audit.recorded import honest, save
from cli.running import Run, process

from varangian.errors import ParameterError


def test_a_rule_alone_is_audited_and_replayed(elsewhere: Path, run: Run) -> None:
    done = run("audit", "--rule", "krum", "--n", "7", "--f", "1", "--fail-if", "coefficient > 1000")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Krum(f=1) withstands 1 liar among 7")
    assert "Worst coefficient found" in done.out
    assert json.loads((elsewhere / "audit" / "report.json").read_text())["verdict"]["status"] == "pass"
    again = run("audit", "replay", "audit/worst-attack.npz")
    assert (again.code, again.err) == (0, "")
    assert "the same" in again.out


def test_a_condition_decides_the_exit_code(run: Run) -> None:
    done = run("audit", "--rule", "mean", "--n", "5", "--fail-if", "coefficient > 1000", "--out", "one")
    assert done.code == 1
    assert "fail if coefficient > 1000: it is inf, FAILED" in done.out
    assert Path("one/report.json").exists()


def test_recorded_rounds_are_audited(elsewhere: Path, run: Run) -> None:
    save(elsewhere / "rounds", honest(rounds=2))
    done = run(
        "audit", "--rounds", "rounds", "--rule", "arc+mean", "--weights", "1,1,1,1,1,1,1,2", "--out", "two"
    )
    assert (done.code, done.err) == (0, "")
    assert "Weight that liars may hold" in done.out
    assert len(json.loads(Path("two/report.json").read_text())["subject"]["shares"]) == 8


def test_what_no_rule_can_bear_is_refused_in_a_report_of_two_files(elsewhere: Path, run: Run) -> None:
    save(elsewhere / "rounds", honest(rounds=1))
    asked = ["--rule", "arc+mean", "--f", "1", "--weights", "90,1,1,1,1,1,1,1", "--out", "three"]
    done = run("audit", "--rounds", "rounds", *asked)
    assert done.code == 0
    assert done.out.startswith("No pass can be given")
    assert done.out.endswith("Wrote three: report.json, report.html\n")


REFUSED = [
    (["--rounds", "nowhere", "--rule", "krum"], "does not exist"),
    (["--rounds", "empty", "--rule", "krum"], "holds no rounds"),
    (["--rule", "krum", "--n", "4", "--f", "2"], "received n = 4"),
    (["--rule", "krumm", "--n", "9"], "Did you mean 'krum'"),
    (["--n", "9", "--fail-if", "coefficient >> 1"], "is no condition"),
    (["--n", "9", "--fail-if", "coeficient > 1"], "Did you mean 'coefficient'"),
    (["--n", "9", "--fail-if", "worst_accuracy < 1"], "does not measure"),
    (["--n", "9", "--rounds", "empty"], "Audit one thing"),
    (["--n", "9", "--out", "nowhere/audit"], "there is no folder"),
    (["--n", "9", "--out", "file"], "is a file"),
    (["--rounds", "empty", "--weights", "1,a"], "write numbers with commas"),
    (["--byzantine", "20"], "at least one worker must be honest"),
    (["--bizantine", "2"], "There is no flag"),
    (["--n", "9", "--parts"], "only an experiment trains a model"),
    (["replay", "file"], "no .npy, .npz or .safetensors file"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_a_mistake_is_refused_and_nothing_is_written(
    words: list[str], said: str, run: Run, elsewhere: Path
) -> None:
    (elsewhere / "empty").mkdir()
    (elsewhere / "file").write_text("hello")
    done = run("audit", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert sorted(path.name for path in elsewhere.iterdir()) == ["empty", "file"]


def test_ctrl_c_leaves_nothing_behind(elsewhere: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("varangian.cli.audit")
    audit = module.audit

    def interrupted(*given: Any, watch: Any, **options: Any) -> None:
        def cut(what: str, share: float) -> None:
            watch(what, share)
            raise KeyboardInterrupt

        audit(*given, watch=cut, **options)

    monkeypatch.setattr(module, "audit", interrupted)
    done = run("audit", "--rule", "krum", "--n", "7")
    assert (done.code, done.out, done.err.strip()) == (130, "", "interrupted")
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(("flags", "parts"), [([], None), (["--parts"], True), (["--no-parts"], False)])
def test_a_flag_decides_whether_neurons_crash(
    flags: list[str], parts: bool | None, elsewhere: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*given: Any, **options: Any) -> None:
        assert options["parts"] is parts
        raise ParameterError("as asked")

    monkeypatch.setattr(import_module("varangian.cli.audit"), "audit", asked)
    done = run("audit", *flags)
    assert (done.code, done.err.strip()) == (2, "error: as asked")


def test_help_tells_what_can_be_audited() -> None:
    done = process("audit", "--help")
    assert done.code == 0
    assert "--rounds" in done.out
    assert "worst_accuracy" in done.out
