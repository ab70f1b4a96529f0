"""A server among servers: gradients of a quorum, a step, and now and then the others' models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.protocols.member import Member, Setting
from varangian.protocols.message import Alarm, Body, Output, Topic
from varangian.protocols.work import Keeper, Reducer

MODEL, GRADIENT, GATHER = "model", "gradient", "gather"


class Server(Member):
    """Scatter: tell the workers the model, wait for gradients, step. Gather: meet the other servers' models.

    It waits for the workers' quorum and then ``patience`` seconds more for the rest. Every ``gather_every``
    steps (never, if 0) and at the end its model becomes the middle of a quorum of models: that pulls honest
    servers together. A server that was away joins at a later gather at which a quorum has spoken.

    Reference   El-Mhamdi et al., PODC 2020
    """

    def __init__(self, party: int, setting: Setting, keeper: Keeper, middle: Reducer) -> None:
        super().__init__(party, setting)
        self.keeper, self.middle, self.gathering = keeper, middle, False
        self._gathered: Body | None = None
        self._set = self._rung = -1

    def start(self) -> list[Output]:
        """Tell the model, or the other servers where it stands if it was gathering.

        After a restart it also repeats its word at the gather of this step, which others may have missed.
        """
        if self.gathering:
            return [*self._gather(), *self.proceed()]
        if self._gathered is None:
            return [*self._scatter(), *self.proceed()]
        word = self.tell(self.servers.parties, Topic(self.step, GATHER), self._gathered)
        return [*word, *self._scatter(), *self.proceed()]

    def proceed(self) -> list[Output]:
        """Step as often as what has arrived allows."""
        outputs: list[Output] = []
        while not self.finished and (more := self._next()) is not None:
            outputs += more
        return outputs if self.finished else [*outputs, *self._patience()]

    def ring(self, alarm: Alarm) -> list[Output]:
        """Step without the workers that were waited for in vain."""
        self._rung = max(self._rung, alarm.topic.step)
        return self.proceed()

    def _next(self) -> list[Output] | None:
        """Return what there is to say after the next step or gather, or None if too little has arrived."""
        said = self._meet(Topic(self.step, GATHER)) if self.gathering else self._advance()
        return self._join() if said is None and self.lost else said

    def _advance(self) -> list[Output] | None:
        topic = Topic(self.step, GRADIENT)
        came = self.mailbox.count(topic)
        if came < self.workers.quorum or self._patient(came):
            return None
        gradients = self.mailbox.on(topic)
        self.keeper.apply(self.keeper.aggregate(gradients, self.step), self.step)
        self._at(self.step + 1)
        gathers = self.gather_every and (self.step % self.gather_every == 0 or self.step == self.steps)
        return self._gather() if gathers else self._scatter()

    def _patient(self, came: int) -> bool:
        """Tell whether there is time left to wait for workers beyond the quorum."""
        there = self.workers.n - len(self.absent.intersection(self.workers.parties))
        return bool(self.patience) and came < there and self._rung < self.step

    def _patience(self) -> list[Output]:
        topic = Topic(self.step, GRADIENT)
        came = self.mailbox.count(topic)
        if self.gathering or came < self.workers.quorum or not self._patient(came) or self._set >= self.step:
            return []
        self._set = self.step
        return [Alarm(self.patience, topic)]

    def _at(self, step: int) -> None:
        self.step, self._gathered = step, None
        self.mailbox.forget(step)

    def _gather(self) -> list[Output]:
        self.gathering, self._gathered = True, self.keeper.theta
        return self.tell(self.servers.parties, Topic(self.step, GATHER), self.keeper.theta)

    def _meet(self, topic: Topic) -> list[Output] | None:
        if self.mailbox.count(topic) < self.servers.quorum:
            return None
        models = self.mailbox.on(topic)
        self.keeper.theta, self.gathering = self.middle(list(models.values())), False
        return self._scatter()

    def _join(self) -> list[Output] | None:
        """Take the others' middle for one's own: somebody may still wait for this server's word."""
        if not self.gather_every:
            return self._skip()
        topic = self.mailbox.newest(GATHER, self.servers.quorum)
        if topic is None or topic.step <= self.step:
            return None
        self._at(topic.step)
        self.caught_up()
        said = self._meet(topic) or []
        return [*self.tell(self.servers.parties, topic, self.keeper.theta), *said]

    def _skip(self) -> list[Output] | None:
        """Go on with the last gradients: an only server that is behind its workers has nobody else to ask."""
        topic = self.mailbox.newest(GRADIENT, self.workers.quorum)
        if topic is None or topic.step <= self.step:
            return None
        self._at(topic.step)
        self.caught_up()
        return []

    def _scatter(self) -> list[Output]:
        self.finished = self.step >= self.steps
        return self.tell(self.workers.parties, Topic(self.step, MODEL), self.keeper.theta)

    def state(self) -> dict[str, Any]:
        """Return all that a restarted server needs."""
        own = {"theta": self.keeper.theta, "gathering": self.gathering}
        if self._gathered is not None:
            own["gathered"] = self._gathered
        return {**super().state(), **own, "keeper": self.keeper.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        super().restore(state)
        theta: Body = state["theta"]
        self.keeper.theta, self.gathering = theta, bool(state["gathering"])
        self._gathered = state.get("gathered")
        self.keeper.restore(state["keeper"])
