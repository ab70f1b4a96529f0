"""What the doctor sees, and what makes it call somebody sick."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.running import Run

import varangian
from varangian.aggregators import Krum
from varangian.cli import selfcheck, surroundings
from varangian.data import DATASETS
from varangian.data.catalogue import MNIST


def told(run: Run) -> dict[str, str]:
    """Return what the doctor says, by its name."""
    lines = [line.split("  ", 1) for line in run("doctor").out.splitlines()]
    return {name: state.strip() for name, state in lines}


def test_all_is_well_here(run: Run) -> None:
    assert run("doctor").code == 0
    said = told(run)
    assert said["varangian"] == varangian.__version__
    assert said["self check"].startswith("passed in ")
    assert {source.name for source in DATASETS} <= set(said)
    assert said["VARANGIAN_DATA"] == "not set"
    assert said["cache folder"].endswith("not made yet, can be")


def test_a_wrong_answer_is_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "ANSWERS", {Krum(f=2): 14.0})
    done = run("doctor")
    assert done.code == 1
    assert "FAILED: Krum(f=2" in done.out


def test_data_is_found_where_it_lies(run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARANGIAN_DATA", str(elsewhere))
    first, *others = (part.name for part in MNIST.parts)
    (elsewhere / first).touch()
    assert told(run)["mnist"] == f"found in {elsewhere}, but not {', '.join(others)}"
    for name in others:
        (elsewhere / f"{name}.gz").touch()
    assert told(run)["mnist"] == f"found in {elsewhere}"


def test_a_folder_that_is_not_there_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARANGIAN_DATA", "nowhere")
    assert told(run)["VARANGIAN_DATA"] == "nowhere (no such folder)"


def test_a_missing_extra_says_how_to_install_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "EXTRAS", {"no-such-package": "plot"})
    assert told(run)["no-such-package"] == "missing: pip install 'varangian[plot]'"
