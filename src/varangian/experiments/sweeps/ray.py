"""A crew on a Ray cluster: the batches are computed there, and written here."""

from __future__ import annotations

import socket
import tempfile
import threading
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from varangian.engines import Progress, Result, simulate
from varangian.errors import DataError, MissingExtraError, VarangianError
from varangian.experiments.sweeps.crew import Crew, Events, Worker
from varangian.experiments.sweeps.orders import obey
from varangian.folders import write_whole
from varangian.metrics import Table
from varangian.specification import Experiment, from_strings, to_toml

AUTO = "auto"
PATIENCE = 10.0
"""Seconds in which a cluster has to answer."""


class RayCrew(Crew):
    """A crew of as many workers as the cluster has processors, each with one batch out at a time.

    ``address`` is that of a running cluster (``ray://host:10001``, ``host:6379``), ``auto`` the cluster that
    this machine belongs to, or a new one on this machine where there is none. Specifications go out as text
    and come back as arrays. Ray itself runs whatever a peer sends it: a cluster is one domain of trust.

    Raises      MissingExtraError; VarangianError for a cluster that cannot be reached
    """

    def __init__(self, address: str, jobs: int | None = None) -> None:
        self.ray = _require()
        try:
            if address != AUTO:
                _knock(address)
            self.ray.init(
                address=None if address == AUTO else address,
                ignore_reinit_error=True,
                log_to_driver=False,
                logging_level="ERROR",
                include_dashboard=False if address == AUTO else None,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise VarangianError(
                f"There is no Ray cluster at {address}: {error}. Start one with `ray start --head`, "
                "or say auto for one on this machine."
            ) from None
        super().__init__(jobs or max(1, int(self.ray.cluster_resources().get("CPU", 1))))

    def hire(self, events: Events) -> Worker:
        """Return a worker that has its batches computed by the cluster."""
        return RayWorker(events, self.ray)


class RayWorker(Worker):
    """A thread that does the writing, and waits for the cluster to do the work."""

    def __init__(self, events: Events, ray: Any) -> None:
        self.task = None
        self.ready = True
        self._events = events
        self._ray = ray
        self._remote = ray.remote(num_cpus=1, max_retries=0)(compute)

    def tell(self, command: dict[str, Any]) -> None:
        """Give a command."""
        threading.Thread(target=self._obey, args=(command,), daemon=True).start()

    def dismiss(self) -> None:
        """Leave what is under way to end as it does; its results are not written."""

    def see_off(self) -> None:
        """Return at once: what a thread of this process holds, ends with this process."""

    def _obey(self, command: dict[str, Any]) -> None:
        try:
            obey(command, lambda event: self._events.put((self, event)), self._engine)
        except Exception as error:
            self._events.put((self, {"event": "refused", "error": f"{type(error).__name__}: {error}"}))

    def _engine(
        self,
        specs: Sequence[Experiment],
        watch: Callable[[Progress], None] | None = None,
        *,
        checkpoint: Path | None = None,
        every: int = 0,
    ) -> list[Result]:
        """Return the results of a batch that the cluster computes, from one checkpoint to the next."""
        texts, state = [to_toml(spec) for spec in specs], None
        if checkpoint is not None and checkpoint.exists():
            state = checkpoint.read_bytes()
        while True:
            try:
                made = self._ray.get(self._remote.remote(texts, every if checkpoint else 0, state))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None  # what went wrong there, without the way that it took
            if not isinstance(made, Paused):
                return [unpacked(spec, parts) for spec, parts in zip(specs, made, strict=True)]
            assert checkpoint is not None
            state = made.state
            _write(checkpoint, state)
            if watch is not None:
                watch(made.progress)


@dataclass(frozen=True)
class Paused:
    """A batch that is not over: where it stands, and the checkpoint to go on from."""

    progress: Progress
    state: bytes


class _Enough(Exception):  # noqa: N818 (no error, the end of a stretch)
    """Ends a stretch of a batch."""


def compute(
    texts: Sequence[str], every: int = 0, state: bytes | None = None
) -> list[dict[str, Any]] | Paused:
    """Return the results of experiments given as TOML, as arrays, or their state after ``every`` steps."""
    torch.set_num_threads(1)
    specs = [from_strings(tomllib.loads(text)) for text in texts]
    stands: list[Progress] = []

    def watch(progress: Progress) -> None:
        if every and progress.step % every == 0 and progress.step < progress.steps:
            stands.append(progress)
            raise _Enough

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        if state is not None:
            checkpoint.write_bytes(state)
        try:
            return [packed(result) for result in simulate(specs, watch, checkpoint=checkpoint, every=every)]
        except _Enough:
            return Paused(stands[0], checkpoint.read_bytes())


def packed(result: Result) -> dict[str, Any]:
    """Return a result as arrays and numbers."""
    return {
        "columns": {name: np.array(column) for name, column in result.metrics.items()},
        "parameters": result.parameters.detach().cpu().numpy(),
        "seconds": result.seconds,
    }


def unpacked(experiment: Experiment, parts: dict[str, Any]) -> Result:
    """Return the result that ``packed`` took apart."""
    table = Table()
    columns = parts["columns"]
    for values in zip(*columns.values(), strict=True):
        table.append(dict(zip(columns, map(float, values), strict=True)))
    return Result(experiment, table, torch.from_numpy(parts["parameters"].copy()), parts["seconds"])


def _write(path: Path, state: bytes) -> None:
    """Keep a checkpoint. Raises DataError."""
    try:
        write_whole(path, lambda stream: stream.write(state))
    except OSError as error:
        raise DataError(f"The checkpoint {path} cannot be written: {error.strerror or error}.") from error


def _knock(address: str) -> None:
    """Refuse an address where nobody answers; Ray would wait for minutes. Raises OSError, ValueError."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname is None or place.port is None:
        raise ValueError("write host:port, or ray://host:port")
    socket.create_connection((place.hostname, place.port), timeout=PATIENCE).close()


def _require() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("A sweep on a Ray cluster", "ray") from error
    return ray
