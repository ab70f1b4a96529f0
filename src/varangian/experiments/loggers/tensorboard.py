"""Logs for TensorBoard: a folder of event files for each run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varangian.errors import MissingExtraError
from varangian.experiments.loggers.log import Destination, Log, title
from varangian.experiments.store.disk import writing
from varangian.specification import Experiment, to_toml


class TensorBoard(Destination):
    """Event files in ``folder/<run>/``, to look at with ``tensorboard --logdir folder``.

    A run's folder gets its name when its log is closed. Needs the extra ``tensorboard``.

    Raises      MissingExtraError; DataError for a folder that cannot be written
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        _require()

    def start(self, experiment: Experiment) -> Log:
        """Return the log of a run; its text tab holds the experiment."""
        return _EventFiles(self.folder, experiment)

    def holds(self, experiment: Experiment) -> bool:
        """Tell whether a run's log is closed."""
        return (self.folder / title(experiment)).exists()


class _EventFiles(Log):
    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.final = folder / title(experiment)
        self.beside = folder / f".{self.final.name}"
        with writing(self.beside):
            shutil.rmtree(self.beside, ignore_errors=True)
            self.beside.mkdir(parents=True)
            self.writer = _require()(str(self.beside))
            self.writer.add_text("experiment", f"```toml\n{to_toml(experiment)}```")

    def log(self, row: Mapping[str, float], step: int) -> None:
        with writing(self.beside):
            for name, value in row.items():
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        with writing(self.final):
            self.writer.close()
            shutil.rmtree(self.final, ignore_errors=True)
            os.rename(self.beside, self.final)


def _require() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("A log for TensorBoard", "tensorboard") from error
    return SummaryWriter
