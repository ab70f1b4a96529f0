"""The training in the histories: each worker pulls towards a point of its own, with momentum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from varangian.engines.network.histories.broken import Broken
from varangian.protocols import Body

RATE, MOMENTUM = 0.2, 0.5


class Puller:
    """A learner whose loss is half the squared distance to ``goal``.

    By step, it keeps what it ``said``, and ``at`` which parameters.
    """

    def __init__(self, goal: Body) -> None:
        self.goal = goal
        self.said: dict[int, Body] = {}
        self.at: dict[int, Body] = {}
        self.begin()

    def begin(self) -> Puller:
        """Forget all that a worker knows."""
        self.memory = np.zeros_like(self.goal)
        return self

    def rate(self, step: int) -> float:
        """Return the same learning rate always."""
        return RATE

    def sampled(self, theta: Body, step: int) -> Body:
        """Return theta - goal."""
        return theta - self.goal

    def sent(self, sampled: Body, step: int) -> Body:
        """Return the momentum."""
        self.memory = still(MOMENTUM * self.memory + sampled)
        self.said[step], self.at[step] = self.memory, sampled + self.goal
        return self.memory

    def state(self) -> dict[str, Any]:
        """Return the momentum."""
        return {"memory": self.memory}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the momentum back."""
        self.memory = state["memory"]


class Holder:
    """A keeper of parameters, by plain descent; it remembers what it stepped along, and from where to where.

    ``honest`` are the workers that do not lie: what the rule makes of all must be within the range of theirs.
    """

    def __init__(self, start: Body, rule: Callable[[list[Body]], Body], honest: frozenset[int]) -> None:
        self.start, self.rule, self.honest = still(start), rule, honest
        self.steps: dict[int, tuple[Body, Body]] = {}
        self.came: dict[int, Body] = {}
        self.begin()

    def begin(self) -> Holder:
        """Forget all that a server knows."""
        self._theta, self._step = self.start, -1
        return self

    @property
    def theta(self) -> Body:
        """Return the parameters."""
        return self._theta

    @theta.setter
    def theta(self, theta: Body) -> None:
        self._theta = still(theta)
        self.came[self._step] = self._theta

    def aggregate(self, gradients: Mapping[int, Body], step: int) -> Body:
        """Return the rule's answer. Raises Broken where the liars have moved it out of the honest range."""
        direction = still(self.rule([gradients[party] for party in sorted(gradients)]))
        truths = np.array([body for party, body in gradients.items() if party in self.honest])
        if not len(truths):
            raise Broken("range", f"step {step}: nobody honest has been waited for")
        least, most = truths.min(axis=0) - 1e-9, truths.max(axis=0) + 1e-9
        if not ((least <= direction) & (direction <= most)).all():
            raise Broken("range", f"step {step}: {direction} lies outside the honest gradients {truths}")
        return direction

    def apply(self, direction: Body, step: int) -> None:
        """Step against a direction."""
        self._theta, self._step = still(self._theta - RATE * direction), step
        self.steps[step] = (direction, self._theta)

    def state(self) -> dict[str, Any]:
        """Return nothing: the parameters are kept by whom they belong to."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take nothing back."""


def still(body: Body) -> Body:
    """Return an array that whoever writes to it fails: what is said is shared by all who hear it."""
    body.flags.writeable = False
    return body
