"""A folder of one's own, and the command line inside the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.running import Ending, Run

from varangian.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with no data and a cache that is nobody's."""
    monkeypatch.setenv("VARANGIAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VARANGIAN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line in this process."""

    def run(*words: str) -> Ending:
        code = main(words)
        captured = capsys.readouterr()
        return Ending(code, captured.out, captured.err)

    return run


@pytest.fixture
def train(run: Run) -> Run:
    """Return a function that trains a short run in this process."""
    return lambda *words: run("train", "model=logistic", "steps=3", *words)
