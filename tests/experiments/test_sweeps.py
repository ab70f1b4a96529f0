"""Sweeps: batches that are begun, shared, interrupted, resumed and that fail; grids that are wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiments.grids import tiny
from experiments.test_store import same

import varangian as vg
from varangian.engines import simulate
from varangian.errors import DataError, ParameterError, RunError, UnknownNameError
from varangian.experiments.store import Store
from varangian.experiments.sweeps import read_grid, sweep
from varangian.experiments.sweeps.grid import expand
from varangian.experiments.sweeps.orders import obey
from varangian.experiments.sweeps.started import begin, is_over, resume, started
from varangian.experiments.sweeps.work import Work
from varangian.specification import identity, to_toml

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SEEDS = [tiny(seed=seed) for seed in (1, 2, 3)]
# Accepted as an experiment, and impossible at the first step: three liars of five need no supporter.
CULPRIT = tiny(byzantine=3, attack=vg.ALittleIsEnough())
BESIDE = tiny(byzantine=3, attack=vg.SignFlip())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.prepare()
    return store


def told() -> tuple[list[dict[str, Any]], Callable[[dict[str, Any]], None]]:
    events: list[dict[str, Any]] = []
    return events, events.append


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events if event["event"] != "progress"]


def test_a_run_is_in_one_batch_at_most(store: Store) -> None:
    one, others = begin(store, SEEDS[:2], every=1)
    assert one is not None
    assert others == []
    two, others = begin(store, SEEDS[1:], every=1)
    assert two is not None
    assert others == [one.folder.name]
    assert two.experiments == (SEEDS[2],)
    none, others = begin(store, SEEDS, every=1)
    assert none is None
    assert set(others) == {one.folder.name, two.folder.name}


def test_a_finished_run_is_in_no_batch(store: Store) -> None:
    store.write(vg.run(SEEDS[0]))
    batch, _ = begin(store, SEEDS[:2], every=1)
    assert batch is not None
    assert batch.experiments == (SEEDS[1],)


def test_a_held_batch_is_not_resumed_and_one_that_was_left_is(store: Store) -> None:
    batch, _ = begin(store, SEEDS, every=7)
    assert batch is not None
    name = batch.folder.name
    assert resume(store, name) is None
    assert not is_over(store, name)
    batch.leave()
    again = resume(store, name)
    assert again is not None
    assert (again.experiments, again.every) == (batch.experiments, 7)
    again.close()
    assert is_over(store, name)
    assert resume(store, name) is None
    assert started(store) == {}


def test_an_interrupted_batch_goes_on_to_the_same_bits(store: Store) -> None:
    specs = [tiny(seed=seed, steps=6, byzantine=1, attack=vg.Mimic(), rule=vg.Median(f=1)) for seed in (1, 2)]
    whole = simulate(specs)
    batch, _ = begin(store, specs, every=2)
    assert batch is not None
    steps: list[int] = []

    def interrupt(event: dict[str, Any]) -> None:
        if batch.checkpoint.exists():
            raise KeyboardInterrupt

    def engine(*args: Any, **options: Any) -> list[vg.Result]:
        watch = lambda stand: (steps.append(stand.step), interrupt({}))  # noqa: E731
        return simulate(args[0], watch, **options)

    with pytest.raises(KeyboardInterrupt):
        Work(batch, interrupt, engine).do()
    assert steps == [1, 2]
    assert not any(spec in store for spec in specs)
    events, tell = told()
    obey({"store": str(store.path), "batch": batch.folder.name}, tell)
    assert kinds(events) == ["began", "wrote", "wrote", "done"]
    for spec, result in zip(specs, whole, strict=True):
        assert same(store.read(spec), result)
    assert started(store) == {}


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "other"])
def test_a_checkpoint_that_is_none_is_left_behind(store: Store, content: bytes | str) -> None:
    batch, _ = begin(store, SEEDS, every=2)
    assert batch is not None
    if isinstance(content, bytes):
        batch.checkpoint.write_bytes(content)
    else:
        simulate([tiny(seed=9)], checkpoint=batch.checkpoint, every=2)
    batch.leave()
    events, tell = told()
    obey({"store": str(store.path), "batch": batch.folder.name}, tell)
    assert kinds(events) == ["began", "wrote", "wrote", "wrote", "done"]
    assert all(same(store.read(result.experiment), result) for result in simulate(SEEDS))


def test_a_batch_that_lost_a_race_writes_nothing_twice(store: Store) -> None:
    """What is written already when an interrupted batch goes on stays as it is."""
    batch, _ = begin(store, SEEDS, every=1)
    assert batch is not None
    batch.leave()
    store.write(vg.run(SEEDS[1]))
    before = (store.runs / identity(SEEDS[1]) / "summary.json").stat().st_ino
    _, tell = told()
    obey({"store": str(store.path), "batch": batch.folder.name}, tell)
    assert all(spec in store for spec in SEEDS)
    assert (store.runs / identity(SEEDS[1]) / "summary.json").stat().st_ino == before


def test_a_batch_that_fails_is_done_run_by_run(store: Store) -> None:
    events, tell = told()
    experiments = [to_toml(spec) for spec in (BESIDE, CULPRIT)]
    obey({"store": str(store.path), "experiments": experiments, "every": 1}, tell)
    assert kinds(events) == ["began", "alone", "wrote", "alone", "failed", "done"]
    failed = next(event for event in events if event["event"] == "failed")
    assert failed["run"] == identity(CULPRIT)
    assert "no finite default z" in failed["error"]
    assert "little_z" in failed["trace"]
    assert same(store.read(BESIDE), simulate([BESIDE])[0])
    assert CULPRIT not in store
    assert started(store) == {}


def test_a_run_that_killed_its_worker_is_skipped(store: Store) -> None:
    batch, _ = begin(store, SEEDS[:2], every=1)
    assert batch is not None
    batch.leave()
    events, tell = told()
    command = {"batch": batch.folder.name, "apart": True, "skip": [identity(SEEDS[0])]}
    obey({"store": str(store.path), **command}, tell)
    assert kinds(events) == ["began", "alone", "wrote", "done"]
    assert (SEEDS[0] in store, SEEDS[1] in store) == (False, True)


def test_a_full_disk_blames_no_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    batch, _ = begin(store, SEEDS[:1], every=1)
    assert batch is not None
    batch.leave()
    events, tell = told()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        obey({"store": str(store.path), "batch": batch.folder.name}, tell)
    assert kinds(events) == ["began", "refused"]
    assert "No space left on device" in events[-1]["error"]
    assert list(started(store)) == [batch.folder.name]
    events, tell = told()
    obey({"store": str(store.path), "batch": batch.folder.name}, tell)
    assert kinds(events) == ["began", "wrote", "done"]


@pytest.mark.parametrize("content", ["", "[]", '{"every": 1}', '{"every": 1, "experiments": ["stepz = 3"]}'])
def test_a_damaged_batch_is_told(store: Store, content: str) -> None:
    batch, _ = begin(store, SEEDS[:1], every=1)
    assert batch is not None
    batch.leave()
    (batch.folder / "batch.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"batch\.json is no list of experiments.*Remove the folder"):
        started(store)


def test_a_sweep_gives_what_run_gives_and_runs_nothing_twice(tmp_path: Path) -> None:
    specs = [*SEEDS, tiny(workers=6), SEEDS[0]]
    expected = vg.run(specs[:4])
    expected.append(expected[0])
    swept = sweep(specs, tmp_path, jobs=2)
    assert all(map(same, swept, expected))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")}
    assert len(written) == 4
    standings: list[Any] = []
    assert all(map(same, sweep(specs, tmp_path, jobs=2, watch=standings.append), swept))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")} == written
    assert not standings


def test_a_sweep_with_failures_finishes_the_others_and_says_which(tmp_path: Path) -> None:
    standings: list[Any] = []
    with pytest.raises(RunError, match=r"1 of 3 runs failed.*ALittleIsEnough\(\).*no finite default z"):
        sweep([CULPRIT, BESIDE, SEEDS[0]], tmp_path, jobs=1, watch=standings.append)
    store = Store(tmp_path)
    assert (BESIDE in store, SEEDS[0] in store, CULPRIT in store) == (True, True, False)
    last = standings[-1]
    assert (last.finished, last.failed, last.runs, last.steps_done) == (2, 1, 3, last.steps)


def test_the_example_is_a_grid() -> None:
    specs = read_grid(EXAMPLES / "rules-under-attack.toml")
    assert len({identity(spec) for spec in specs}) == 24
    assert {spec.rule for spec in specs if spec.byzantine == 4} == {
        vg.Average(),
        vg.TrimmedMean(f=4),
        vg.chain(vg.NearestNeighborMixing(f=4), vg.TrimmedMean(f=4)),
    }


def test_a_grid_without_a_grid_is_one_run() -> None:
    assert expand({"workers": 5}) == [vg.Experiment(workers=5)]


def test_what_the_grid_says_goes_over_the_base_and_twice_is_once() -> None:
    specs = expand({"seed": 7, "grid": {"seed": [1, 2, 1]}})
    assert [spec.seed for spec in specs] == [1, 2]


def test_schedules_are_values_of_a_grid() -> None:
    rates = [0.1, {"initial": 0.5, "decay": 10}]
    specs = expand({"grid": {"learning_rate": rates}})
    assert [spec.learning_rate for spec in specs] == [0.1, vg.InverseDecay(0.5, 10)]


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"stepz": 3}, ParameterError, "Did you mean 'steps'"),
    ({"grid": {"stepz": [3]}}, UnknownNameError, "Did you mean 'steps'"),
    ({"grid": {"who": [{"worker": 3}]}}, UnknownNameError, "Did you mean 'workers'"),
    ({"grid": {"seed": 3}}, ParameterError, r"write seed = \[\.\.\.\]"),
    ({"grid": {"seed": []}}, ParameterError, "at least one"),
    ({"grid": [1]}, ParameterError, r"write \[grid\]"),
    ({"grid": {"who": [{"seed": 1}], "seed": [1]}}, ParameterError, "both set seed"),
    (
        {"byzantine": 2, "grid": {"rule": ["median", "krum"], "workers": [11, 5]}},
        ParameterError,
        r"where rule = 'krum', workers = 5: .*n = 5",
    ),
    ({"grid": {"rule": ["krum", "krumm"]}}, ParameterError, "where rule = 'krumm': .*Did you mean 'krum'"),
]


@pytest.mark.parametrize(("given", "kind", "words"), WRONG, ids=lambda value: str(value)[:50])
def test_a_grid_that_is_wrong_is_refused(given: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        expand(given)


def test_what_does_not_fit_is_known_before_anything_runs(tmp_path: Path) -> None:
    specs = [tiny(), tiny(model="cnn-mnist"), tiny(model="logistik")]
    with pytest.raises(ParameterError, match=r"model='logistik'.*Did you mean 'logistic'"):
        sweep([*specs[:1], *specs[2:]], tmp_path / "store", jobs=1)
    with pytest.raises(DataError, match="mnist"):
        sweep([tiny(), tiny(data="mnist", data_dir=tmp_path)], tmp_path / "store", jobs=1)
    assert not (tmp_path / "store").exists()


def test_a_damaged_run_of_the_grid_is_told_before_anything_runs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(vg.run(SEEDS[0]))
    path = store.runs / identity(SEEDS[0]) / "summary.json"
    path.write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(DataError, match="Remove the folder"):
        sweep(SEEDS, tmp_path, jobs=1)
    assert SEEDS[1] not in store
