"""Logs, read back with the tools that they are for."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.running import process
from experiments.grids import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import varangian as vg
from varangian.errors import DataError, MissingExtraError, ParameterError, UnknownNameError
from varangian.experiments.loggers import MLflow, TensorBoard, Tracker, parse_destination
from varangian.experiments.loggers.log import title
from varangian.specification import identity, to_toml

SPEC = tiny(byzantine=1, rule=vg.Median(f=1), attack=vg.SignFlip())


def measured(result: vg.Result) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of everything that was measured, by name."""
    steps = map(int, result.metrics["step"])
    told: dict[str, list[tuple[int, float]]] = {}
    for place, step in enumerate(steps):
        for name, column in result.metrics.items():
            if name != "step" and not math.isnan(column[place]):
                told.setdefault(name, []).append((step, column[place]))
    return told


def read_events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def assert_logged(folder: Path, result: vg.Result) -> None:
    events = read_events(folder)
    expected = measured(result)
    assert set(events.Tags()["scalars"]) == set(expected)
    for name, points in expected.items():
        logged = events.Scalars(name)
        assert [event.step for event in logged] == [step for step, _ in points]
        assert [event.value for event in logged] == pytest.approx([value for _, value in points], rel=1e-6)


def test_tensorboard_reads_a_result_that_is_there(tmp_path: Path) -> None:
    result = vg.run(SPEC)
    board = TensorBoard(tmp_path)
    assert not board.holds(SPEC)
    board.record(result)
    assert board.holds(SPEC)
    assert [path.name for path in tmp_path.iterdir()] == [title(SPEC)]
    assert_logged(tmp_path / title(SPEC), result)
    events = read_events(tmp_path / title(SPEC))
    text = tensor_util.make_ndarray(events.Tensors("experiment/text_summary")[0].tensor_proto)
    assert to_toml(SPEC) in text[0].decode()


def test_tensorboard_watches_a_run(tmp_path: Path) -> None:
    with TensorBoard(tmp_path).start(SPEC) as log:
        result = vg.run(SPEC, log)
    assert_logged(tmp_path / title(SPEC), result)


def test_a_run_is_logged_once(tmp_path: Path) -> None:
    board, result = TensorBoard(tmp_path), vg.run(SPEC)
    board.record(result)
    (events,) = (tmp_path / title(SPEC)).iterdir()
    before = events.stat().st_mtime_ns
    board.record(result)
    assert [path.stat().st_mtime_ns for path in (tmp_path / title(SPEC)).iterdir()] == [before]


def test_a_log_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    board, result = TensorBoard(tmp_path), vg.run(SPEC)
    board.record(vg.run(tiny()))
    left = tmp_path / f".{title(SPEC)}"  # what a process leaves that was killed before the end
    shutil.copytree(tmp_path / title(tiny()), left)
    assert not board.holds(SPEC)
    board.record(result)
    assert not left.exists()
    assert_logged(tmp_path / title(SPEC), result)


def test_runs_with_one_title_do_not_exist() -> None:
    assert title(SPEC) != title(tiny(byzantine=1, rule=vg.Median(f=1), attack=vg.SignFlip(), steps=5))
    assert len(title(tiny(rule=vg.chain(*[vg.NearestNeighborMixing(f=1)] * 9, vg.Median(f=1))))) < 200


class Recorder:
    """What a tracker looks like from here."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}

    def log(self, numbers: dict[str, Any], step: int) -> None:
        self.rows[step] = numbers


def test_a_tracker_is_anything_that_logs() -> None:
    watching, afterwards = Recorder(), Recorder()
    result = vg.run(SPEC, Tracker(watching))
    Tracker(afterwards).result(result)
    assert watching.rows == afterwards.rows
    told = measured(result)
    assert [row["loss"] for row in afterwards.rows.values()] == [value for _, value in told["loss"]]
    assert [step for step, row in afterwards.rows.items() if "accuracy" in row] == [2, 4]


def test_a_sweep_logs_what_it_finishes_and_what_was_there(elsewhere: Path) -> None:
    (elsewhere / "grid.toml").write_text(
        'model = "logistic"\nworkers = 5\nsteps = 3\n[grid]\nseed = [1, 2]\n', encoding="utf-8"
    )
    assert process("sweep", "grid.toml", "--jobs", "1").code == 0
    done = process("sweep", "grid.toml", "--log", "tensorboard:logs")
    assert (done.code, done.err) == (0, "")
    specs = [vg.Experiment(model="logistic", workers=5, steps=3, seed=seed) for seed in (1, 2)]
    for spec in specs:
        assert_logged(elsewhere / "logs" / title(spec), vg.Store("store").read(spec))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_destinations_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'tensorboard'"):
        parse_destination("tensorbord:logs")
    with pytest.raises(ParameterError, match="write tensorboard:FOLDER"):
        parse_destination("tensorboard")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be written"):
        TensorBoard(tmp_path / "file").record(vg.run(SPEC))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[tensorboard\]"):
        parse_destination("tensorboard:logs")
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[mlflow\]"):
        parse_destination("mlflow:logs")


@pytest.mark.mlflow
def test_mlflow_reads_what_was_logged(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    result = vg.run(SPEC)
    MLflow(tmp_path / "runs").record(result)
    MLflow(tmp_path / "runs").record(result)
    other = vg.run(tiny())
    with MLflow(tmp_path / "runs").start(tiny()) as log:
        vg.run(tiny(), log)
    client = MlflowClient((tmp_path / "runs").as_uri())
    found = client.search_runs([client.get_experiment_by_name("varangian").experiment_id])
    runs = {run.data.tags["varangian.run"]: run for run in found}
    assert len(found) == len(runs) == 2
    for expected in (result, other):
        run = runs[identity(expected.experiment)]
        assert run.info.status == "FINISHED"
        assert run.data.params["rule"] in ("median:f=1", "average")
        for name, points in measured(expected).items():
            logged = client.get_metric_history(run.info.run_id, name)
            assert [(metric.step, metric.value) for metric in logged] == points
