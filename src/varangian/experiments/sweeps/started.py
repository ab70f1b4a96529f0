"""Batches that were begun: who works on which runs, and where an interrupted one left off.

``batches/<name>/`` holds ``batch.json``, the very list of experiments that the checkpoint beside it belongs
to, and ``lock``, held by the process that works on it for as long as it lives. A run is in one batch at most.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from varangian.errors import DataError, VarangianError
from varangian.experiments.store import Store
from varangian.experiments.store.disk import flush_folder, told, writing
from varangian.experiments.store.locks import Lock
from varangian.specification import Experiment, from_strings, identity, to_toml

LIST, LOCK, CHECKPOINT, APART = "batch.json", "lock", "checkpoint", "apart"
GONE = ".gone-"


@dataclass(frozen=True, eq=False)
class Batch:
    """Experiments that run in lockstep, held by this process; ``every``: steps between checkpoints."""

    store: Store
    folder: Path
    experiments: tuple[Experiment, ...]
    every: int
    lock: Lock

    @property
    def checkpoint(self) -> Path:
        """Return the file of the whole batch's state."""
        return self.folder / CHECKPOINT

    def checkpoint_of(self, experiment: Experiment) -> Path:
        """Return the file of one run's state, where the runs of the batch go apart."""
        return self.folder / f"{CHECKPOINT}-{identity(experiment)}"

    @property
    def apart(self) -> bool:
        """Tell whether the runs are to be done one by one, because together they failed."""
        return (self.folder / APART).exists()

    def go_apart(self) -> None:
        """Have the runs done one by one, now and after any interruption."""
        with writing(self.folder):
            (self.folder / APART).touch()

    def unfinished(self) -> list[Experiment]:
        """Return the runs that the store does not hold."""
        return [experiment for experiment in self.experiments if experiment not in self.store]

    def leave(self) -> None:
        """Leave the batch as it is, for whoever resumes it."""
        self.lock.release()

    def close(self) -> None:
        """Forget the batch: its runs are finished or given up."""
        gone = self.folder.with_name(f"{GONE}{self.folder.name}")
        with writing(self.folder):
            os.rename(self.folder, gone)  # at once, so that nobody reads a half of it
        shutil.rmtree(gone, ignore_errors=True)
        self.lock.release()


def begin(store: Store, experiments: Sequence[Experiment], every: int) -> tuple[Batch | None, list[str]]:
    """Return a new batch of the experiments that are neither finished nor in other batches, and those others.

    Raises      DataError
    """
    with writing(_batches(store)), store.locked():
        _batches(store).mkdir(exist_ok=True)
        busy = {run: name for name, runs in started(store).items() for run in runs}
        here = {identity(experiment): experiment for experiment in experiments}
        others = sorted({busy[run] for run in here if run in busy})
        free = {run: spec for run, spec in here.items() if run not in busy and spec not in store}
        if not free:
            return None, others
        return _make(store, free, every), others


def resume(store: Store, name: str, *, wait: bool = False) -> Batch | None:
    """Return a batch that was begun, as it was; None while another process holds it, or if it is gone.

    With ``wait``, return when no other process holds it any more. Raises DataError.
    """
    folder = _batches(store) / name
    with writing(folder):
        lock = Lock.take(folder / LOCK, wait=wait)
    if lock is None:
        return None
    experiments, every = _read(folder)
    return Batch(store, folder, tuple(experiments.values()), every, lock)


def started(store: Store) -> dict[str, list[str]]:
    """Return the identities of the runs of every batch that was begun and is not over. Raises DataError."""
    if not _batches(store).is_dir():
        return {}
    with told(_batches(store), "read", "Check who may read it."):
        names = sorted(item.name for item in os.scandir(_batches(store)) if not item.name.startswith("."))
    found = {}
    for name in names:
        folder = _batches(store) / name
        try:
            found[name] = list(_read(folder)[0])
        except DataError:
            if folder.exists():  # another process may just have ended it
                raise
    return found


def is_over(store: Store, name: str) -> bool:
    """Tell whether a batch is gone."""
    return not (_batches(store) / name).exists()


def _batches(store: Store) -> Path:
    return store.path / "batches"


def _make(store: Store, experiments: Mapping[str, Experiment], every: int) -> Batch:
    """Make a batch's folder and its lock, so that nobody ever sees the one without the other."""
    text = json.dumps({"every": every, "experiments": [to_toml(spec) for spec in experiments.values()]})
    name = hashlib.blake2b("".join(experiments).encode(), digest_size=16).hexdigest()
    staging, folder = _batches(store) / ".writing", _batches(store) / name
    for leftover in (staging, *_batches(store).glob(f"{GONE}*")):
        shutil.rmtree(leftover, ignore_errors=True)
    staging.mkdir()
    (staging / LIST).write_text(text, encoding="utf-8")
    (staging / LOCK).touch()
    lock = Lock.take(staging / LOCK, wait=True)
    if lock is None:
        raise DataError(
            f"{staging} was removed while it was in use. Leave a store's files alone while it works."
        )
    os.rename(staging, folder)
    flush_folder(folder.parent)
    return Batch(store, folder, tuple(experiments.values()), every, lock)


def _read(folder: Path) -> tuple[dict[str, Experiment], int]:
    """Return a batch's experiments by their identities, and its ``every``. Raises DataError."""
    path = folder / LIST
    cure = f"Remove the folder {folder}: no finished run is lost, only the progress of an interrupted one."
    with told(path, "read", cure):
        content = path.read_bytes()
    try:
        read = json.loads(content)
        specs = [from_strings(tomllib.loads(text)) for text in read["experiments"]]
        return {identity(spec): spec for spec in specs}, int(read["every"])
    except (ValueError, KeyError, TypeError, VarangianError) as error:
        raise DataError(f"{path} is no list of experiments ({error}). {cure}") from None
