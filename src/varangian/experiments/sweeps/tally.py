"""How far a sweep is, counted in steps over all its runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from varangian.specification import Experiment


@dataclass(frozen=True)
class Standing:
    """Runs finished and failed, of how many; steps done, of how many; the seconds so far, and those left.

    ``remaining`` is None before there is anything to reckon with.
    """

    finished: int
    failed: int
    runs: int
    steps_done: int
    steps: int
    seconds: float
    remaining: float | None


class Tally:
    """Keeps count of a sweep and tells ``watch`` of every change."""

    def __init__(
        self,
        wanted: Mapping[str, Experiment],
        finished: Collection[str],
        watch: Callable[[Standing], None] | None,
    ) -> None:
        self.finished = set(finished)
        self.failed: set[str] = set()
        self._steps = {run: experiment.steps for run, experiment in wanted.items()}
        self._watch = watch
        self._begun = time.monotonic()
        self._live: dict[Any, int] = {}
        self._given = sum(self._steps[run] for run in self.finished)

    def progress(self, worker: Any, step: int, runs: int) -> None:
        """Take in that a worker has done so many steps of so many runs."""
        if (
            worker not in self._live
        ):  # what an interrupted sweep had done says nothing on the speed of this one
            self._given += (step - 1) * runs
        self._live[worker] = step * runs
        self._tell()

    def finish(self, run: str, worker: Any = None) -> None:
        """Take in that a run is finished, and by whom."""
        self.finished.add(run)
        if worker in self._live:
            self._live[worker] = max(0, self._live[worker] - self._steps[run])
        self._tell()

    def fail(self, run: str) -> None:
        """Take in that a run failed."""
        self.failed.add(run)
        self._tell()

    def rest(self, worker: Any) -> None:
        """Take in that a worker has nothing to do."""
        self._live.pop(worker, None)

    @property
    def standing(self) -> Standing:
        """Return how far the sweep is."""
        total = sum(self._steps.values())
        settled = sum(self._steps[run] for run in {*self.finished, *self.failed})
        done = min(total, settled + sum(self._live.values()))
        seconds = time.monotonic() - self._begun
        gained = done - self._given
        remaining = seconds * (total - done) / gained if gained > 0 else None
        return Standing(
            len(self.finished), len(self.failed), len(self._steps), done, total, seconds, remaining
        )

    def _tell(self) -> None:
        if self._watch is not None:
            self._watch(self.standing)
