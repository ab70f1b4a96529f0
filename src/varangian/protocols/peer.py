"""Learning without servers: everyone computes a gradient, agrees on it with the others, and steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from varangian.protocols.averaging import Averaging
from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import GONE, Body, Kind, Message, Output, Topic
from varangian.protocols.node import Node
from varangian.protocols.work import Keeper, Learner, Reducer


def rounds_of(step: int) -> int:
    """Return how often gradients are averaged at a step counted from 0: ceil(log2(step + 1)).

    >>> [rounds_of(step) for step in range(6)]
    [0, 1, 2, 2, 3, 3]
    """
    return step.bit_length()


class Peer(Node):
    """Average the gradient in ceil(log2 t) rounds, step, and average the parameters in one.

    A round is as many exchanges as it takes to halve how far honest peers differ.

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
        self.way, self.group = way, group
        super().__init__(party, kinds, 2 * window * (self._parameters_at(steps) + way.exchanges(group, 1)))
        self.averaging, self.reduce = way(self, group, reduce, window), reduce
        self.learner, self.keeper, self.steps, self.round = learner, keeper, steps, 0
        self._begun: dict[str, Any] | None = None

    def tell(self, peers: Iterable[int], topic: Topic, body: Body) -> list[Output]:
        """Return one value to several peers. It is said in mid-step, and binds."""
        self.words += 1
        return super().tell(peers, topic, body)

    def start(self) -> list[Output]:
        """Compute a gradient, and propose it."""
        return [] if self.finished else [*self._sample(), *self.proceed()]

    def hear(self, message: Message) -> list[Output]:
        """Take part in the others' broadcasts."""
        return self.averaging.hear(message)

    def proceed(self) -> list[Output]:
        """Go as far as what has arrived allows."""
        said = self.averaging.further()
        while not self.finished and (more := self._next()) is not None:
            said += more + self.averaging.further()
        return said

    def _next(self) -> list[Output] | None:
        vector = self.averaging.outcome(self.step, self.round)
        if vector is None:
            return self._join() if self.lost else None
        last = self._parameters_at(self.step) + self.way.exchanges(self.group, 1) - 1
        return self._arrive(vector) if self.round == last else self._propose(self.round + 1, vector)

    def _parameters_at(self, step: int) -> int:
        """Return at which exchange of a step the gradient is agreed on, and the parameters' turn comes."""
        return self.way.exchanges(self.group, rounds_of(step))

    def _sample(self) -> list[Output]:
        """Begin a step with a gradient of one's own."""
        theta, self._begun = self.keeper.theta, self._now()
        return self._propose(0, self.learner.sent(self.learner.sampled(theta, self.step), self.step))

    def _propose(self, round: int, vector: Body) -> list[Output]:
        """Tell the vector of an exchange; once the gradient is agreed on, step, and tell the parameters."""
        self.round = round
        if round == self._parameters_at(self.step):
            self.keeper.apply(vector, self.step)
            vector = self.keeper.theta
        return self.averaging.propose(self.step, round, vector)

    def _arrive(self, theta: Body) -> list[Output]:
        """End a step with the parameters that were agreed on."""
        self.keeper.theta = theta
        self._at(self.step + 1)
        self.finished = self.step >= self.steps
        return [] if self.finished else self._sample()

    def _join(self) -> list[Output] | None:
        """Tell the others' parameters as one's own, at the last exchange for which a quorum told theirs."""
        later = [
            (step, round, vectors)
            for step, round, vectors in self.averaging.quorums()
            if step > self.step and round >= self._parameters_at(step)
        ]
        if not later:
            return None
        step, round, vectors = max(later, key=lambda one: one[:2])
        self._at(step)
        self.caught_up()
        self.round, self.keeper.theta = round, self.reduce(vectors)
        self._begun = self._now()
        return self.averaging.propose(step, round, self.keeper.theta)

    def forget(self, before: int) -> None:
        """Drop what is about steps that no slower peer needs one's word on."""
        self.averaging.forget(before)

    def _at(self, step: int) -> None:
        self.step, self.round = step, 0
        self.forget(step)

    def state(self) -> dict[str, Any]:
        """Return all that a restarted peer needs: it begins its step anew, from how it first began it."""
        return self._now() if self.finished or self._begun is None else self._begun

    def _now(self) -> dict[str, Any]:
        own = {"theta": self.keeper.theta, "keeper": self.keeper.state(), "learner": self.learner.state()}
        return {**super().state(), **own}

    def recall(self, said: Iterable[Message]) -> None:
        """Take back what was said before a restart, to say it again, and nothing else on the same topic."""
        words = list(said)
        super().recall(words)
        self.averaging.recall({word.topic: word.body for word in words if word.topic.kind != GONE})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        super().restore(state)
        self.keeper.theta = state["theta"]
        self.keeper.restore(state["keeper"])
        self.learner.restore(state["learner"])
