"""Training that costs nothing: worker k's gradient is k + 1 everywhere, and the server averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from varangian.protocols import Body, Form, Task


class Sayer:
    """A worker that always says the same."""

    def __init__(self, worker: int) -> None:
        self.worker = worker

    def sampled(self, theta: Body, step: int) -> Body:
        return np.full_like(theta, self.worker + 1)

    def sent(self, sampled: Body, step: int) -> Body:
        return sampled

    def rate(self, step: int) -> float:
        return 1.0

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


class Adder:
    """A server that adds means up, and remembers who was heard; NaN is left out."""

    def __init__(self, d: int) -> None:
        self.theta: Body = np.zeros(d, np.float32)
        self.missing: list[float] = []

    def aggregate(self, gradients: Mapping[int, Body], step: int) -> Body:
        rows = np.stack([gradients[party] for party in sorted(gradients)])
        there = ~np.isnan(rows)
        self.missing.append(1 - float(there.mean()))
        sums = np.where(there, rows, 0).sum(axis=0, dtype=np.float32)
        mean: Body = sums / np.maximum(there.sum(axis=0), 1).astype(np.float32)
        return mean

    def apply(self, direction: Body, step: int) -> None:
        self.theta = self.theta + direction

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass


def toy(d: int, steps: int) -> Task:
    """Return a task of d numbers."""

    def middle(models: list[Body]) -> Body:
        joined: Body = np.median(np.stack(models), axis=0).astype(np.float32)
        return joined

    return Task(
        form=Form(np.dtype("float32"), d),
        steps=steps,
        learner=Sayer,
        keeper=lambda: Adder(d),
        middle=middle,
        reduce=middle,
    )
