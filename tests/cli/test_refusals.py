"""Every refusal: one error, the nearest name, exit code 2, and nothing was trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli.running import Run

from varangian.cli import runs

CASES = [
    (["trian"], "There is no command called 'trian'. Did you mean 'train'?"),
    (["--vresion"], "Did you mean '--version'?"),
    (["train", "--bizantine", "3"], "There is no flag called '--bizantine'. Did you mean '--byzantine'?"),
    (["train", "--learning-rate", "0.1"], "learning_rate=VALUE"),
    (["train", "--workers", "many"], "'many' is not a valid integer"),
    (["train", "--rule"], "requires an argument"),
    (["train", "krum"], "neither a TOML file nor field=value"),
    (["train", "stepz=3"], "Did you mean 'steps'?"),
    (["train", "--data", "mnits"], "Did you mean 'mnist'?"),
    (["train", "model=logistik"], "Did you mean 'logistic'?"),
    (["train", "--rule", "krumm"], "Did you mean 'krum'?"),
    (["train", "--attack", "optimale"], "Did you mean 'optimal'?"),
    (["train", "--versus", "--attack", "none"], "nobody lies"),
    (["train", "--versus", "--byzantine", "0"], "nobody lies"),
    (["train", "--plot", "a.jpg"], ".png or .svg"),
    (["train", "--plot", "nowhere/a.png"], "no folder nowhere"),
    (["train", "--json", "nowhere/a.json"], "no folder nowhere"),
    (["train", "--json", "."], "it is a folder"),
    (["list"], "one of rules, mixers"),
    (["list", "rule"], "Did you mean 'rules'?"),
    (["list", "rules", "--jsn"], "Did you mean '--json'?"),
    (["list", "rules", "models"], "unexpected extra argument"),
    (["cite", "krumm"], "Did you mean 'krum'?"),
    (["doctor", "now"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("words", "said"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_refused(words: list[str], said: str, run: Run) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert "Usage" not in done.err


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where anything is trained."""
    monkeypatch.setattr(runs, "run", lambda *_: pytest.fail("It trained."))


@pytest.mark.usefixtures("untrained")
def test_a_folder_that_cannot_be_written_is_told_before_training(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may write everywhere
    for flag, name in (("--plot", "a.png"), ("--json", "a.json")):
        done = run("train", flag, name)
        assert (done.code, done.err) == (2, f"error: {name} cannot be written: Permission denied.\n")


@pytest.mark.usefixtures("untrained")
def test_a_missing_matplotlib_is_told_before_training(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("train", "--plot", "a.png")
    assert done.code == 2
    assert "pip install 'varangian[plot]'" in done.err


def test_checking_a_path_leaves_it_as_it_was(run: Run, elsewhere: Path) -> None:
    (elsewhere / "old.json").write_text("old", encoding="utf-8")
    for name in ("old.json", "new.json"):
        assert run("train", "--json", name, "model=logistik").code == 2
    assert (elsewhere / "old.json").read_text(encoding="utf-8") == "old"
    assert not (elsewhere / "new.json").exists()
