"""What every engine but the simulator is: a value that runs an experiment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from varangian.engines.loop import Progress
from varangian.engines.result import Result
from varangian.specification import Experiment


@runtime_checkable
class Engine(Protocol):
    """Where, and by whom, an experiment is run."""

    def run(self, spec: Experiment, watch: Callable[[Progress], None] | None = None) -> Result:
        """Return what came of it; ``watch`` is told of every step."""
