"""Logs for MLflow: a run with parameters and metrics, in a folder or wherever MLflow keeps them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varangian.errors import MissingExtraError
from varangian.experiments.loggers.log import Destination, Log, title
from varangian.experiments.store.disk import writing
from varangian.specification import Experiment, identity
from varangian.specification.write import plain

NAME = "varangian"
TAG = "varangian.run"
MOST = 1000
"""Numbers that MLflow takes at a time."""


class MLflow(Destination):
    """Runs of the MLflow experiment ``varangian``, to look at with ``mlflow ui``.

    ``place`` is a folder, or the address of any store that MLflow knows: ``sqlite:///runs.db``,
    ``http://host:5000``. Fields are parameters, metrics are metrics, and the tag ``varangian.run`` is the
    identity. Needs the extra ``mlflow``.

    Raises      MissingExtraError; DataError for a place that cannot be written
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        address = os.fspath(place)
        self.folder = Path(address)
        if "://" not in address:  # MLflow asks for this word before it writes plain files
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            address = self.folder.absolute().as_uri()
        with writing(self.folder):
            self.client = _require().MlflowClient(address)

    def start(self, experiment: Experiment) -> Log:
        """Return the log of a run."""
        with writing(self.folder):
            tags = {TAG: identity(experiment), "mlflow.runName": title(experiment)}
            run = self.client.create_run(self._place(), tags=tags).info.run_id
            for name, value in plain(experiment).items():
                self.client.log_param(run, name, value)
        return _Run(self, run)

    def holds(self, experiment: Experiment) -> bool:
        """Tell whether a run's log is closed."""
        chosen = f"tags.`{TAG}` = '{identity(experiment)}' and attributes.status = 'FINISHED'"
        return bool(self.client.search_runs([self._place()], chosen, max_results=1))

    def _place(self) -> str:
        found = self.client.get_experiment_by_name(NAME)
        return str(found.experiment_id if found else self.client.create_experiment(NAME))


class _Run(Log):
    def __init__(self, owner: MLflow, run: str) -> None:
        self.owner, self.run = owner, run
        self.waiting: list[Any] = []

    def log(self, row: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.waiting += [Metric(name, value, now, step) for name, value in row.items()]
        if len(self.waiting) >= MOST:
            self._flush()

    def close(self) -> None:
        self._flush()
        with writing(self.owner.folder):
            self.owner.client.set_terminated(self.run)

    def _flush(self) -> None:
        with writing(self.owner.folder):
            for start in range(0, len(self.waiting), MOST):
                self.owner.client.log_batch(self.run, self.waiting[start : start + MOST])
        self.waiting = []


def _require() -> Any:
    try:
        import mlflow.tracking
    except ImportError as error:
        raise MissingExtraError("A log for MLflow", "mlflow") from error
    return mlflow.tracking
