"""A folder of finished runs, each written once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from varangian.engines import Result
from varangian.errors import DataError
from varangian.experiments.store.disk import publish, told, writing
from varangian.experiments.store.entry import SUMMARY, Entry, contents, read_entry
from varangian.experiments.store.locks import locked
from varangian.specification import Experiment, identity


@dataclass(frozen=True, eq=False)
class Scan:
    """What a store holds: the runs that can be read, and why the others cannot."""

    entries: list[Entry]
    damaged: list[DataError]


class Store:
    """Runs in a folder, a folder each: ``runs/<identity>/`` with plain files that other tools open.

    ``experiment.toml`` is what was asked, ``metrics.parquet`` a row per step, ``parameters.npy`` the final
    parameters, ``summary.json`` the accuracy, the time, the versions, and a digest of each file. A run
    appears when it is whole. Any number of processes may use one store at once. Needs the extra ``store``.

    Raises      DataError for what cannot be read or written, naming the file and the cure

    >>> import tempfile
    >>> from varangian.engines import train
    >>> store = Store(tempfile.mkdtemp())
    >>> spec = Experiment(workers=4, steps=3, model="logistic")
    >>> spec in store, store.write(train(spec)).name == identity(spec), spec in store
    (False, True, True)
    >>> store.read(spec).metrics["step"]
    [1.0, 2.0, 3.0]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @property
    def runs(self) -> Path:
        """Return the folder of the finished runs."""
        return self.path / "runs"

    def __contains__(self, experiment: object) -> bool:
        """Tell whether a run is finished."""
        return isinstance(experiment, Experiment) and (self._folder(experiment) / SUMMARY).exists()

    def find(self, experiment: Experiment) -> Entry | None:
        """Return a run's entry, None if it is not finished. Raises DataError where it cannot be read."""
        folder = self._folder(experiment)
        return read_entry(folder) if folder.exists() else None

    def read(self, experiment: Experiment) -> Result:
        """Return the result of a finished run. Raises DataError."""
        entry = self.find(experiment)
        if entry is None:
            raise DataError(f"{self.path} does not hold the run {identity(experiment)} of {experiment!r}.")
        return entry.result()

    def scan(self) -> Scan:
        """Return what is here, the oldest first; what cannot be read hides nothing else. Raises DataError."""
        if not self.runs.is_dir():
            raise DataError(
                f"{self.path} is no store: it holds no folder 'runs'. "
                f"Make one with: varangian sweep grid.toml --store {self.path}"
            )
        entries: list[Entry] = []
        damaged: list[DataError] = []
        for folder in self._folders():
            try:
                entries.append(read_entry(folder))
            except DataError as error:
                damaged.append(error)
        return Scan(entries, damaged)

    def write(self, result: Result) -> Path:
        """Write a result and return its folder; a run that is there already is left as it is.

        Raises      ParameterError for an experiment that no file can hold; DataError; MissingExtraError
        """
        folder, files = self._folder(result.experiment), contents(result)
        with writing(folder):
            self.runs.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if folder.exists():
                    return folder
                publish(self.runs / ".writing", folder, files)
        return folder

    def prepare(self) -> None:
        """Make the folders, and see that they can be written to. Raises DataError."""
        with writing(self.path):
            self.runs.mkdir(parents=True, exist_ok=True)
            with self.locked():
                probe = self.path / ".probe"
                probe.write_bytes(b"x")
                probe.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one, of all processes, who changes what is in the store."""
        with locked(self.path / "lock"):
            yield

    def _folder(self, experiment: Experiment) -> Path:
        return self.runs / identity(experiment)

    def _folders(self) -> list[Path]:
        with told(self.runs, "read", "Check who may read it."):
            items = [item for item in os.scandir(self.runs) if item.is_dir()]
            found = [Path(item.path) for item in items if not item.name.startswith(".")]
            return sorted(found, key=lambda folder: (folder.stat().st_mtime_ns, folder.name))
