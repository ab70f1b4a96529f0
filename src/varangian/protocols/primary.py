"""The baseline: servers that may crash but not lie; one leads, the next takes over when it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.protocols.member import Member, Setting
from varangian.protocols.message import Alarm, Message, Output, Topic
from varangian.protocols.server import GRADIENT, MODEL
from varangian.protocols.work import Keeper
from varangian.protocols.worker import Worker


class Replica(Member):
    """Lead: step on a quorum of gradients and tell everyone. Follow: take what the leader tells.

    The reign is the ``round`` of its topics; reign r is server r mod n's. Who hears nothing for ``patience``
    seconds starts the next reign of its own. Of several leaders the one that is further is followed, by the
    others too: a step counts more than a reign. A leader that lies is believed: this protects from crashes
    only. A leader that was away, and whose workers are past its step, goes on with their last gradients.
    """

    def __init__(self, party: int, setting: Setting, keeper: Keeper) -> None:
        super().__init__(party, setting)
        self.keeper, self.reign = keeper, 0

    @property
    def leads(self) -> bool:
        """Tell whether this is the server whose reign it is."""
        return self.servers.parties[self.reign % self.servers.n] == self.party

    def start(self) -> list[Output]:
        """Tell the model, or watch who leads."""
        return [*self._tell(), *self.proceed()] if self.leads else [self._watch()]

    def receive(self, message: Message) -> list[Output]:
        """Take a gradient, or a leader's model if it is further than one's own."""
        topic = message.topic
        if topic.kind != MODEL:
            return super().receive(message)
        reigns = self.servers.parties[topic.round % self.servers.n] == message.sender
        further = (topic.step, topic.round) > (self.step, self.reign)
        if not (self.takes(message) and reigns and further):
            return []
        self.reign, self.step = topic.round, topic.step
        self.keeper.theta = message.body
        self.mailbox.forget(self.step)
        self.finished = self.step >= self.steps
        return [] if self.finished else [self._watch()]

    def proceed(self) -> list[Output]:
        """Step as often as the gradients allow."""
        outputs: list[Output] = []
        while self.leads and not self.finished:
            step = self._answered()
            if step is None:
                break
            gradients = self.mailbox.on(Topic(step, GRADIENT))
            self.keeper.apply(self.keeper.aggregate(gradients, step), step)
            self.step = step + 1
            self.mailbox.forget(self.step)
            outputs += self._tell()
        return outputs

    def _answered(self) -> int | None:
        """Return a step with a quorum's gradients: one's own, or a later one if some were lost."""
        if self.mailbox.count(Topic(self.step, GRADIENT)) >= self.workers.quorum:
            return self.step
        topic = self.mailbox.newest(GRADIENT, self.workers.quorum) if self.lost else None
        return topic.step if topic else None

    def again(self, peer: int) -> list[Output]:
        """Return what a peer may have missed; for a worker, the model that a leader told who may be gone."""
        said = super().again(peer)
        if peer not in self.workers.parties or not self.step:
            return said
        return [*said, *self.tell([peer], Topic(self.step, MODEL, self.reign), self.keeper.theta)]

    def ring(self, alarm: Alarm) -> list[Output]:
        """Take over if nothing has moved since the alarm was set."""
        heard = (alarm.topic.step, alarm.topic.round)
        if self.finished or self.leads or heard != (self.step, self.reign):
            return []
        own, n = self.party - self.servers.first, self.servers.n
        self.reign += (own - self.reign) % n or n
        return [*self._tell(), *self.proceed()]

    def _tell(self) -> list[Output]:
        self.finished = self.step >= self.steps
        others = [server for server in self.servers.parties if server != self.party]
        topic = Topic(self.step, MODEL, self.reign)
        return self.tell([*self.workers.parties, *others], topic, self.keeper.theta)

    def _watch(self) -> Alarm:
        """Return an alarm; the next in line is the least patient."""
        own, n = self.party - self.servers.first, self.servers.n
        return Alarm(self.patience * ((own - self.reign) % n or n), Topic(self.step, MODEL, self.reign))

    def state(self) -> dict[str, Any]:
        """Return all that a restarted server needs."""
        own = {"theta": self.keeper.theta, "reign": self.reign}
        return {**super().state(), **own, "keeper": self.keeper.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        super().restore(state)
        self.keeper.theta, self.reign = state["theta"], int(state["reign"])
        self.keeper.restore(state["keeper"])


class Follower(Worker):
    """A worker that believes the furthest model it has heard of."""

    def _spoken(self) -> Topic | None:
        return self.mailbox.newest(MODEL, 1)
