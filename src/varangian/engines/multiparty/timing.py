"""Where a step's time goes: computing gradients, applying the rule, and the rest, which is waiting."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from varangian.protocols import Keeper, Learner, Reducer, Task


@dataclass
class Stopwatch:
    """Seconds by purpose, and how long each step waited for others."""

    seconds: dict[str, float] = field(default_factory=lambda: {"compute": 0.0, "aggregate": 0.0})
    busy: float = 0.0
    started: float = field(default_factory=time.monotonic)
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=100))
    _step: int = -1
    _at: tuple[float, float] = (0.0, 0.0)

    def restart(self) -> None:
        """Forget the time so far, in which others were waited for that were not there yet."""
        self.seconds.update(dict.fromkeys(self.seconds, 0.0))
        self.busy, self.started = 0.0, time.monotonic()

    def split(self) -> dict[str, float]:
        """Return the seconds so far: compute, aggregate, other work of the node, and communicate."""
        elapsed = time.monotonic() - self.started
        known = sum(self.seconds.values())
        other = max(0.0, self.busy - known)
        return {**self.seconds, "other": other, "communicate": max(0.0, elapsed - max(self.busy, known))}

    @property
    def quorum(self) -> float:
        """Return the median seconds that a step waited for others, of the last hundred."""
        return median(self.waits) if self.waits else 0.0

    def worked(self, seconds: float, step: int) -> None:
        """Take note of a call of the node, and of where it stands."""
        self.busy += seconds
        now = time.monotonic()
        if step != self._step:
            if self._step >= 0:
                self.waits.append(max(0.0, (now - self._at[0]) - (self.busy - self._at[1])))
            self._step, self._at = step, (now, self.busy)

    def timed(self, purpose: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that adds the time it takes."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            start = time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[purpose] += time.monotonic() - start

        return measured


class _Timed:
    """A learner or a keeper whose calls are timed; all else is its own."""

    def __init__(self, one: Any, watch: Stopwatch, calls: dict[str, str]) -> None:
        self.__dict__.update(
            one=one, **{name: watch.timed(to, getattr(one, name)) for name, to in calls.items()}
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["one"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["one"], name, value)


def timed(task: Task, watch: Stopwatch) -> Task:
    """Return a task that keeps time: gradients are ``compute``, all that joins vectors is ``aggregate``."""

    def learner(party: int) -> Learner:
        made: Learner = _Timed(task.learner(party), watch, {"sampled": "compute", "sent": "compute"})
        return made

    def keeper() -> Keeper:
        made: Keeper = _Timed(task.keeper(), watch, {"aggregate": "aggregate", "apply": "aggregate"})
        return made

    middle: Reducer = watch.timed("aggregate", task.middle)
    reduce: Reducer = watch.timed("aggregate", task.reduce)
    return replace(task, learner=learner, keeper=keeper, middle=middle, reduce=reduce)
