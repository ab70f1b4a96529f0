"""Pictures of runs."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import varangian as vg
from varangian.errors import DataError, MissingExtraError


@pytest.fixture(scope="module")
def results() -> dict[str, vg.Result]:
    fields: dict[str, Any] = {
        "model": "logistic",
        "workers": 5,
        "steps": 6,
        "evaluate_every": 2,
        "batch_size": 8,
    }
    return {f"run {i} <&> 5 %": vg.run(vg.Experiment(**fields, seed=i)) for i in range(7)}


def test_png(results: dict[str, vg.Result], tmp_path: Path) -> None:
    path = vg.draw_runs(results, tmp_path / "runs.png", title="Accuracy")
    assert path == tmp_path / "runs.png"
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.rstrip().endswith(b"IEND\xaeB`\x82")
    assert len(content) > 10_000


def test_svg(results: dict[str, vg.Result], tmp_path: Path) -> None:
    path = vg.draw_runs(results, str(tmp_path / "runs.svg"), title="Accuracy")
    assert isinstance(path, Path)
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    text = path.read_text(encoding="utf-8")
    for label in ("step", "test accuracy (%)", "Accuracy", "run 0 &lt;&amp;&gt; 5 %", "run 6"):
        assert label in text, label


def test_one_run_and_one_point(results: dict[str, vg.Result], tmp_path: Path) -> None:
    once = vg.run(vg.Experiment(model="logistic", workers=2, steps=1))
    assert vg.draw_runs({"once": once}, tmp_path / "once.png").stat().st_size > 5000


@pytest.mark.parametrize("name", ["missing/runs.png", "folder.png", "runs.xyz"])
def test_paths_that_cannot_be_written(results: dict[str, vg.Result], tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=r"cannot be written|\.png or \.svg"):
        vg.draw_runs(results, tmp_path / name)


def test_a_name_without_an_ending_is_refused_or_written_where_it_says(
    results: dict[str, vg.Result], tmp_path: Path
) -> None:
    try:
        path = vg.draw_runs(results, tmp_path / "runs")
    except DataError:
        path = None
    assert path is None or path.is_file()
    assert path is not None or not list(tmp_path.iterdir())


def test_without_matplotlib(
    results: dict[str, vg.Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[plot\]"):
        vg.draw_runs(results, tmp_path / "runs.png")


def test_no_window_is_opened(results: dict[str, vg.Result], tmp_path: Path) -> None:
    """Figures are drawn without pyplot, which keeps them and picks a window system."""
    pyplot = sys.modules.pop("matplotlib.pyplot", None)
    vg.draw_runs(results, tmp_path / "runs.png")
    assert "matplotlib.pyplot" not in sys.modules
    if pyplot is not None:
        sys.modules["matplotlib.pyplot"] = pyplot
