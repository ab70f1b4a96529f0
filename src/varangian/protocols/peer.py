"""Learning without servers: everyone computes a gradient, agrees on it with the others, and steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.protocols.averaging import Averaging
from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import Body, Kind, Message, Output
from varangian.protocols.node import Node
from varangian.protocols.work import Keeper, Learner, Reducer


def rounds_of(step: int) -> int:
    """Return how often gradients are averaged at a step counted from 0: ceil(log2(step + 1)).

    >>> [rounds_of(step) for step in range(6)]
    [0, 1, 2, 2, 3, 3]
    """
    return step.bit_length()


class Peer(Node):
    """Average the gradient ceil(log2 t) times, step, and average the parameters once.

    Reference   El-Mhamdi et al., NeurIPS 2021
    """

    def __init__(
        self,
        party: int,
        kinds: Mapping[str, Kind],
        *,
        group: Group,
        way: type[Averaging],
        reduce: Reducer,
        learner: Learner,
        keeper: Keeper,
        steps: int,
        window: int = WINDOW,
    ) -> None:
        super().__init__(party, kinds, window * (rounds_of(steps) + 1))
        self.averaging, self.reduce = way(self, group, reduce), reduce
        self.learner, self.keeper, self.steps, self.round = learner, keeper, steps, 0

    def start(self) -> list[Output]:
        """Compute a gradient, and propose it."""
        return [*self._sample(), *self.proceed()]

    def hear(self, message: Message) -> list[Output]:
        """Take part in the others' broadcasts."""
        return self.averaging.hear(message)

    def proceed(self) -> list[Output]:
        """Go as far as what has arrived allows."""
        said = self.averaging.further()
        while not self.finished and (more := self._next()):
            said += more + self.averaging.further()
        return said

    def _next(self) -> list[Output]:
        vector = self.averaging.outcome(self.step, self.round)
        if vector is None:
            return self._join() if self.lost else []
        return self._arrive(vector) if self._last else self._propose(self.round + 1, vector)

    @property
    def _last(self) -> bool:
        """Tell whether this round is the parameters', and not the gradient's."""
        return self.round == rounds_of(self.step)

    def _sample(self) -> list[Output]:
        """Begin a step with a gradient of one's own."""
        theta = self.keeper.theta
        return self._propose(0, self.learner.sent(self.learner.sampled(theta, self.step), self.step))

    def _propose(self, round: int, vector: Body) -> list[Output]:
        """Tell the gradient of a round; after the last one, step, and tell the parameters."""
        self.round = round
        if self._last:
            self.keeper.apply(vector, self.step)
            vector = self.keeper.theta
        return self.averaging.propose(self.step, round, vector)

    def _arrive(self, theta: Body) -> list[Output]:
        """End a step with the parameters that were agreed on."""
        self.keeper.theta = theta
        self._at(self.step + 1)
        self.finished = self.step >= self.steps
        return [] if self.finished else self._sample()

    def _join(self) -> list[Output]:
        """Tell the others' parameters as one's own, at the last step at which a quorum has told theirs."""
        later = [
            (step, vectors)
            for step, round, vectors in self.averaging.quorums()
            if step > self.step and round == rounds_of(step)
        ]
        if not later:
            return []
        step, vectors = max(later, key=lambda pair: pair[0])
        self._at(step)
        self.round, self.keeper.theta = rounds_of(step), self.reduce(vectors)
        return self.averaging.propose(step, self.round, self.keeper.theta)

    def _at(self, step: int) -> None:
        self.step, self.round = step, 0
        self.mailbox.forget(step)
        self.averaging.forget(step)

    def state(self) -> dict[str, Any]:
        """Return all that a restarted peer needs; it begins its step anew."""
        own = {"theta": self.keeper.theta, "keeper": self.keeper.state(), "learner": self.learner.state()}
        return {**super().state(), **own}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        super().restore(state)
        self.keeper.theta = state["theta"]
        self.keeper.restore(state["keeper"])
        self.learner.restore(state["learner"])
