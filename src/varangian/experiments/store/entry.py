"""One finished run on disk: how its folder is written, checked and read."""

from __future__ import annotations

import hashlib
import io
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from varangian.engines import Result
from varangian.errors import DataError, MissingExtraError, VarangianError
from varangian.experiments.store.disk import told
from varangian.experiments.store.tables import from_parquet, to_parquet
from varangian.specification import Experiment, from_toml, identity, to_toml

EXPERIMENT, METRICS, PARAMETERS, SUMMARY = (
    "experiment.toml",
    "metrics.parquet",
    "parameters.npy",
    "summary.json",
)
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Entry:
    """A finished run: its experiment and summary, read; its metrics and parameters, on disk.

    Raises      DataError from ``result`` where a file is missing or not what was written
    """

    folder: Path
    experiment: Experiment
    accuracy: float
    seconds: float
    diverged: bool
    versions: Mapping[str, str]
    digests: Mapping[str, str]

    @property
    def identity(self) -> str:
        """Return the identity of the run, which is the folder's name."""
        return self.folder.name

    def result(self) -> Result:
        """Return all that the run left behind, as it was. Raises DataError, MissingExtraError."""
        metrics, parameters = self._content(METRICS), self._content(PARAMETERS)
        try:
            table = from_parquet(metrics)
            values = np.load(io.BytesIO(parameters), allow_pickle=False)
        except MissingExtraError:
            raise
        except Exception as error:
            raise damaged(self.folder, f"cannot be read: {error}") from None
        return Result(self.experiment, table, torch.from_numpy(values), self.seconds)

    def _content(self, name: str) -> bytes:
        path = self.folder / name
        with told(path, "read", cure(self.folder)):
            content = path.read_bytes()
        if digest(content) != self.digests.get(name):
            raise damaged(path, "is not what was written")
        return content


def contents(result: Result) -> dict[str, bytes]:
    """Return the files of a run. Raises ParameterError for what has no spelling, MissingExtraError."""
    text = to_toml(result.experiment)
    page = io.BytesIO()
    np.save(page, result.parameters.detach().cpu().numpy(), allow_pickle=False)
    files = {
        EXPERIMENT: text.encode(),
        METRICS: to_parquet(result.metrics, identity(result.experiment), text),
        PARAMETERS: page.getvalue(),
    }
    accuracy = result.accuracy
    summary = {
        "format": FORMAT,
        "accuracy": accuracy if math.isfinite(accuracy) else None,
        "seconds": round(result.seconds, 3),
        "diverged": result.diverged,
        "versions": {name: version(name) for name in ("varangian", "torch", "numpy")}
        | {"python": platform.python_version()},
        "files": {name: digest(content) for name, content in files.items()},
    }
    return {**files, SUMMARY: f"{json.dumps(summary, indent=2)}\n".encode()}


def read_entry(folder: Path) -> Entry:
    """Return the run of a folder. Raises DataError, naming the file and the cure."""
    path = folder / SUMMARY
    with told(path, "read", cure(folder)):
        text = path.read_bytes()
    try:
        summary: dict[str, Any] = json.loads(text)
        if summary["format"] != FORMAT:
            raise DataError(
                f"{path} has the format {summary['format']!r}, and this version of Varangian reads {FORMAT}. "
                "Read it with the version that wrote it, or remove the folder and run the sweep again."
            )
        accuracy, seconds = summary["accuracy"], float(summary["seconds"])
        entry = Entry(
            folder,
            _experiment(folder, summary["files"][EXPERIMENT]),
            math.nan if accuracy is None else float(accuracy),
            seconds,
            bool(summary["diverged"]),
            dict(summary["versions"]),
            dict(summary["files"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"is no summary of a run ({type(error).__name__}: {error})") from None
    for name in entry.digests:
        if not (folder / name).is_file():
            raise damaged(folder / name, "is missing")
    return entry


def damaged(path: Path, how: str) -> DataError:
    """Return the error for a file of a run that is not as it was written."""
    folder = path if path.is_dir() else path.parent
    return DataError(f"{path} {how}. {cure(folder)}")


def cure(folder: Path) -> str:
    """Return what to do about a run that cannot be read."""
    return f"Remove the folder {folder} and run the sweep again: it makes that run anew and keeps all others."


def digest(content: bytes) -> str:
    """Return what tells a file from a changed one."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _experiment(folder: Path, expected: str) -> Experiment:
    path = folder / EXPERIMENT
    with told(path, "read", cure(folder)):
        content = path.read_bytes()
    if digest(content) != expected:
        raise damaged(path, "is not what was written")
    try:
        experiment = from_toml(path)
        found = identity(experiment)
    except VarangianError as error:
        raise damaged(path, f"is no experiment of this version ({error})") from None
    if found != folder.name:
        raise damaged(path, f"is run {found}, in the folder of another")
    return experiment
