"""What a worker is told to do, wherever it works: a batch to begin, or one to resume."""

from __future__ import annotations

import tomllib
from typing import Any

from varangian.engines import simulate
from varangian.errors import DataError
from varangian.experiments.store import Store
from varangian.experiments.sweeps.started import Batch, begin, is_over, resume
from varangian.experiments.sweeps.work import Engine, Tell, Work
from varangian.specification import from_strings


def obey(command: dict[str, Any], tell: Tell, engine: Engine = simulate) -> None:
    """Carry a command out, and tell ``done`` at the end, or ``refused`` where the store could not be used.

    A command is the ``store``, and ``experiments`` to begin with ``every``, or a ``batch`` to resume: with
    ``wait`` once nobody else holds it, ``apart`` run by run, without those to ``skip``.
    """
    try:
        batch = _batch(Store(command["store"]), command, tell)
        if batch is not None:
            tell({"event": "began", "batch": batch.folder.name})
            if command.get("apart"):
                batch.go_apart()
            Work(batch, tell, engine, command.get("skip", ())).do()
    except DataError as error:
        tell({"event": "refused", "error": str(error)})
    else:
        tell({"event": "done"})


def _batch(store: Store, command: dict[str, Any], tell: Tell) -> Batch | None:
    """Return the batch to work on; where there is none, tell why."""
    if "batch" not in command:
        specs = [from_strings(tomllib.loads(text)) for text in command["experiments"]]
        batch, others = begin(store, specs, command["every"])
        if others:
            tell({"event": "elsewhere", "batches": others})
        return batch
    name = command["batch"]
    batch = resume(store, name, wait=command.get("wait", False))
    if batch is None and not is_over(store, name):
        tell({"event": "held"})
    return batch
