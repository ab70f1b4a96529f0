"""A worker: models of a quorum of servers, their middle, a gradient for every server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.protocols.member import Member, Setting
from varangian.protocols.message import Body, Output, Topic
from varangian.protocols.server import GRADIENT, MODEL
from varangian.protocols.work import Learner, Reducer


class Worker(Member):
    """Answer the models of each step with a gradient; of the last, if some were lost.

    Reference   El-Mhamdi et al., PODC 2020
    """

    def __init__(self, party: int, setting: Setting, learner: Learner, middle: Reducer) -> None:
        super().__init__(party, setting)
        self.learner, self.middle = learner, middle
        self._last: Body | None = None

    def start(self) -> list[Output]:
        """Wait for a model; after a restart, repeat the last gradient to servers that may have been away."""
        if self._last is None:
            return []
        return self.tell(self.servers.parties, Topic(self.step - 1, GRADIENT), self._last)

    def proceed(self) -> list[Output]:
        """Answer as many steps as enough servers have spoken on."""
        said: list[Output] = []
        while not self.finished and (topic := self._spoken()) is not None:
            theta = self.middle(list(self.mailbox.on(topic).values()))
            said += self._answer(theta, topic.step)
        return said

    def _spoken(self) -> Topic | None:
        """Return the models to answer: those of the next step, or the last ones if some were lost."""
        topic = Topic(self.step, MODEL)
        if self.mailbox.count(topic) >= self.servers.quorum:
            return topic
        lost = self.mailbox.newest(MODEL, self.servers.quorum) if self.lost else None
        if lost is not None:
            self.caught_up()
        return lost

    def _answer(self, theta: Body, step: int) -> list[Output]:
        self.step = step + 1
        self.mailbox.forget(self.step)
        if step >= self.steps:
            self.finished = True
            return []
        self._last = self.learner.sent(self.learner.sampled(theta, step), step)
        return self.tell(self.servers.parties, Topic(step, GRADIENT), self._last)

    def state(self) -> dict[str, Any]:
        """Return all that a restarted worker needs."""
        last = {} if self._last is None or self.finished else {"last": self._last}
        return {**super().state(), "learner": self.learner.state(), **last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        super().restore(state)
        self.learner.restore(state["learner"])
        self._last = state.get("last")
