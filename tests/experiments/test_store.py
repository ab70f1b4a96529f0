"""A store: what goes in comes out, other tools read it, and damage is told and stays where it is."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest
from experiments.grids import tiny

import varangian as vg
from varangian.errors import DataError, MissingExtraError, ParameterError
from varangian.experiments.store import Store, disk
from varangian.metrics import Table
from varangian.specification import from_toml, identity


@pytest.fixture(scope="module")
def results() -> list[vg.Result]:
    runs = [tiny(seed=seed) for seed in (1, 2)]
    runs.append(tiny(byzantine=1, attack=vg.NonFinite()))  # diverges
    return vg.run(runs)


@pytest.fixture
def store(tmp_path: Path, results: list[vg.Result]) -> Store:
    store = Store(tmp_path / "store")
    for result in results:
        store.write(result)
    return store


def folder_of(store: Store, result: vg.Result) -> Path:
    return store.runs / identity(result.experiment)


def same(one: vg.Result, two: vg.Result) -> bool:
    """Tell whether two results are equal to the bit, NaN included."""
    return (
        one.experiment == two.experiment
        and list(one.metrics) == list(two.metrics)
        and all(np.array_equal(one.metrics[name], two.metrics[name], equal_nan=True) for name in one.metrics)
        and np.array_equal(one.parameters.numpy(), two.parameters.numpy(), equal_nan=True)
        and one.parameters.dtype == two.parameters.dtype
    )


def test_what_goes_in_comes_out(store: Store, results: list[vg.Result]) -> None:
    for result in results:
        assert result.experiment in store
        read = store.read(result.experiment)
        assert same(read, result)
        assert read.diverged == result.diverged
    assert results[-1].diverged
    assert tiny(seed=3) not in store
    assert store.find(tiny(seed=3)) is None


def test_the_folder_is_plain_files(store: Store, results: list[vg.Result]) -> None:
    folder = folder_of(store, results[0])
    assert {path.name for path in folder.iterdir()} == {
        "experiment.toml",
        "metrics.parquet",
        "parameters.npy",
        "summary.json",
    }
    assert from_toml(folder / "experiment.toml") == results[0].experiment
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["accuracy"] == results[0].accuracy
    assert summary["versions"]["varangian"] == vg.__version__
    parameters = np.load(folder / "parameters.npy", allow_pickle=False)
    assert np.array_equal(parameters, results[0].parameters.numpy())


def test_pandas_reads_a_run(store: Store, results: list[vg.Result]) -> None:
    frame = pd.read_parquet(folder_of(store, results[0]) / "metrics.parquet")
    assert frame["step"].tolist() == [1, 2, 3, 4]
    assert frame["step"].dtype == np.int64
    assert frame["accuracy"].isna().tolist() == [True, False, True, False]
    assert frame["loss"].tolist() == results[0].metrics["loss"]


def test_pyarrow_reads_the_whole_store(store: Store, results: list[vg.Result]) -> None:
    files = [str(path) for path in store.runs.glob("*/metrics.parquet")]
    table = pyarrow.dataset.dataset(files).to_table(columns=["run", "step", "accuracy"])
    assert set(table["run"].to_pylist()) == {identity(result.experiment) for result in results}
    assert table.num_rows == sum(len(result.metrics["step"]) for result in results)


def test_polars_and_duckdb_average_what_was_measured(store: Store, results: list[vg.Result]) -> None:
    """What was not measured is null, which averages skip; NaN would make all of them NaN."""
    run = identity(results[0].experiment)
    expected = np.nanmean(results[0].metrics["accuracy"])
    glob = str(store.runs / "*" / "metrics.parquet")
    frame = pl.scan_parquet(glob, missing_columns="insert", extra_columns="ignore").collect()
    mean = frame.filter(pl.col("run").cast(pl.String) == run)["accuracy"].mean()
    assert mean == pytest.approx(expected)
    query = f"SELECT avg(accuracy) FROM read_parquet('{glob}', union_by_name=true) WHERE run = '{run}'"
    assert duckdb.sql(query).fetchall()[0][0] == pytest.approx(expected)


def test_a_finished_run_is_written_once(store: Store, results: list[vg.Result]) -> None:
    other = vg.Result(results[0].experiment, results[1].metrics, results[1].parameters, 9.0)
    store.write(other)
    assert same(store.read(results[0].experiment), results[0])


def test_experiments_that_no_file_can_hold_are_refused(tmp_path: Path, results: list[vg.Result]) -> None:
    spec = tiny(data=vg.load_dataset("digits"))
    with pytest.raises(ParameterError, match="of your own"):
        Store(tmp_path).write(vg.Result(spec, results[0].metrics, results[0].parameters, 1.0))
    assert not any(tmp_path.iterdir())


def test_without_pyarrow(tmp_path: Path, results: list[vg.Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[store\]"):
        Store(tmp_path).write(results[0])


def truncate(folder: Path) -> Path:
    path = folder / "metrics.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    return path


def garble(folder: Path) -> Path:
    path = folder / "parameters.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path


def lose(folder: Path) -> Path:
    path = folder / "metrics.parquet"
    path.unlink()
    return path


def empty(folder: Path) -> Path:
    path = folder / "summary.json"
    path.write_bytes(b"")
    return path


def list_instead(folder: Path) -> Path:
    path = folder / "summary.json"
    path.write_text("[]", encoding="utf-8")
    return path


def edit(folder: Path) -> Path:
    path = folder / "experiment.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("steps = 4", "steps = 5"), encoding="utf-8")
    return path


def leave_empty(folder: Path) -> Path:
    shutil.rmtree(folder)
    folder.mkdir()
    return folder / "summary.json"


SEEN_AT_ONCE = [lose, empty, list_instead, edit, leave_empty]
SEEN_WHEN_READ = [truncate, garble]


@pytest.mark.parametrize("damage", [*SEEN_AT_ONCE, *SEEN_WHEN_READ], ids=lambda damage: damage.__name__)
def test_damage_is_told_and_hides_nothing_else(
    damage: object, store: Store, results: list[vg.Result]
) -> None:
    path = damage(folder_of(store, results[0]))  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        store.read(results[0].experiment)
    assert str(path) in str(caught.value)
    assert "Remove the folder" in str(caught.value)
    scan = store.scan()
    assert len(scan.damaged) == (1 if damage in SEEN_AT_ONCE else 0)
    assert len(scan.entries) + len(scan.damaged) == len(results)
    assert same(store.read(results[1].experiment), results[1])
    shutil.rmtree(folder_of(store, results[0]))  # the cure
    store.write(results[0])
    assert same(store.read(results[0].experiment), results[0])


def test_a_run_in_the_folder_of_another_is_foreign(store: Store, results: list[vg.Result]) -> None:
    shutil.rmtree(folder_of(store, results[1]))
    shutil.copytree(folder_of(store, results[0]), folder_of(store, results[1]))
    with pytest.raises(DataError, match="in the folder of another"):
        store.find(results[1].experiment)


def test_another_format_is_foreign(store: Store, results: list[vg.Result]) -> None:
    path = folder_of(store, results[0]) / "summary.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), "format": 99}), encoding="utf-8"
    )
    with pytest.raises(DataError, match="has the format 99"):
        store.find(results[0].experiment)


def test_nothing_is_pickled(store: Store, results: list[vg.Result]) -> None:
    """An array of objects is what a pickle hides in."""
    path = folder_of(store, results[0]) / "parameters.npy"
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    summary = path.with_name("summary.json")
    about = json.loads(summary.read_text(encoding="utf-8"))
    about["files"]["parameters.npy"] = (
        __import__("hashlib").blake2b(path.read_bytes(), digest_size=16).hexdigest()
    )
    summary.write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        store.read(results[0].experiment)


def test_files_beside_the_runs_are_nobodys_business(store: Store, results: list[vg.Result]) -> None:
    (store.runs / "notes.txt").write_text("x", encoding="utf-8")
    (store.runs / ".hidden").mkdir()
    scan = store.scan()
    assert (len(scan.entries), scan.damaged) == (len(results), [])


@pytest.mark.parametrize("where", ["file", "nowhere", "bare"])
def test_what_is_no_store_is_told(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="is no store"):
        Store(tmp_path / where).scan()


def test_a_store_cannot_be_made_in_a_file(tmp_path: Path, results: list[vg.Result]) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be written"):
        Store(tmp_path / "file").write(results[0])


def test_a_half_written_run_is_never_seen(
    tmp_path: Path, results: list[vg.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.write(results[1])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"No space left on device.*Nothing that was finished is lost"):
            store.write(results[0])
    assert results[0].experiment not in store
    assert [entry.experiment for entry in store.scan().entries] == [results[1].experiment]
    assert not [path for path in store.runs.iterdir() if path.name.startswith(".")]
    store.write(results[0])
    assert same(store.read(results[0].experiment), results[0])


def test_what_a_killed_writer_left_is_cleared(store: Store, results: list[vg.Result]) -> None:
    folder = folder_of(store, results[0])
    shutil.move(folder, store.runs / ".writing")
    assert len(store.scan().entries) == len(results) - 1
    store.write(results[0])
    assert same(store.read(results[0].experiment), results[0])


def test_threads_that_write_the_same_run_do_not_meet(tmp_path: Path, results: list[vg.Result]) -> None:
    store = Store(tmp_path)
    threads = [threading.Thread(target=store.write, args=(results[i % 2],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.scan().entries) == 2
    assert not store.scan().damaged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of a few pages where that is allowed; elsewhere the process is."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:  # not root: a limit on files does as well
        import resource

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
        yield folder
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    else:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_is_finished(small_disk: Path, results: list[vg.Result]) -> None:
    store = Store(small_disk)
    large = vg.Result(
        results[1].experiment, results[1].metrics, results[1].parameters.repeat(40), results[1].seconds
    )
    store.write(small := results[0])
    with pytest.raises(DataError, match=r"cannot be written: (No space left|File too large)"):
        store.write(large)
    scan = store.scan()
    assert [entry.experiment for entry in scan.entries] == [small.experiment]
    assert same(store.read(small.experiment), small)


def test_files_are_flushed_before_they_have_their_name(
    tmp_path: Path, results: list[vg.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(disk.os, "fsync", lambda handle: order.append("flush"))
    rename = os.rename
    monkeypatch.setattr(disk.os, "rename", lambda *names: (order.append("rename"), rename(*names)))
    Store(tmp_path).write(results[0])
    assert order == ["flush"] * 5 + ["rename", "flush"]


def test_an_empty_table_is_a_table(tmp_path: Path, results: list[vg.Result]) -> None:
    from varangian.experiments.store.tables import from_parquet, to_parquet

    assert list(from_parquet(to_parquet(Table(), "x", ""))) == []
