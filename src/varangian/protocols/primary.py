"""The baseline: servers that may crash but not lie; one leads, the next takes over when it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from varangian.protocols.member import Member, Setting
from varangian.protocols.message import Alarm, Message, Output, Topic
from varangian.protocols.server import GRADIENT, MODEL
from varangian.protocols.work import Keeper
from varangian.protocols.worker import Worker

LIVES = 1 << 32
"""How many lives of a server have reigns of their own."""


class Replica(Member):
    """Lead: step on a quorum of gradients and tell everyone. Follow: take the furthest model there is.

    The reign is the ``round`` of its topics; reign r is server r mod n's. Who hears nothing for ``patience``
    seconds starts its next reign. Of several leaders the one that is further is followed, by the others too:
    a step counts more than a reign. A leader that lies is believed: this protects from crashes only. One that
    was away, and whose workers are past its step, goes on with their last gradients.

    A server that has lost its checkpoint does not know what it has said. So each life of a server leads in
    reigns of its own, and a step and a reign name one model, whoever tells of it. From the first model nobody
    goes on with later gradients: others, who may have finished, tell the model to who was away, and to who
    leads in one reign and has led in that of the model. What was not heard from a leader that is there is
    passed on to all, in its place.

    Condition   n >= f + 1; who has lost its checkpoint is among the f until it has been told the model
    """

    def __init__(self, party: int, setting: Setting, keeper: Keeper) -> None:
        super().__init__(party, setting)
        self.keeper, self.reign = keeper, -self.servers.n

    @property
    def leads(self) -> bool:
        """Tell whether this is the life of the server whose reign it is."""
        return self._turns(LIVES) == self.servers.n * LIVES

    def start(self) -> list[Output]:
        """Begin a reign if it is this server's turn, or was its reign before; else watch who leads."""
        return self._lead() if self._leader(self.reign) == self.party else [self._watch()]

    def receive(self, message: Message) -> list[Output]:
        """Take a gradient, or a model if it is further than one's own; correct a leader that is behind."""
        if message.topic.kind != MODEL:
            return super().receive(message)
        leader, (step, _, reign, _) = self._leader(message.topic.round), message.topic
        reborn = 0 <= self.reign != reign and self._leader(self.reign) == leader
        further = (step, reign) > (self.step, self.reign)
        if not (self.takes(message) and further):
            return self._tell([leader]) if reborn and not further else []
        self.step, self.reign, self.keeper.theta = step, reign, message.body
        self.mailbox.forget(step)
        there = message.sender == leader and leader not in self.absent
        said = self._tell(self._everyone if not there else [leader] if reborn else [])
        return said if self.finished else [*said, self._watch()]

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
            outputs += self._tell(self._everyone)
        return outputs

    def _answered(self) -> int | None:
        """Return a step with a quorum's gradients: one's own, or a later one if some were lost."""
        if self.mailbox.count(Topic(self.step, GRADIENT)) >= self.workers.quorum:
            return self.step
        topic = self.mailbox.newest(GRADIENT, self.workers.quorum) if self.lost and self.step else None
        return topic.step if topic else None

    def again(self, peer: int) -> list[Output]:
        """Return what a peer may have missed: the model too, of a leader who may be gone."""
        said = super().again(peer)
        known = any(one.topic == Topic(self.step, MODEL, self.reign) for one in said)
        return said if known or not self.step else [*said, *self._tell([peer])]

    def ring(self, alarm: Alarm) -> list[Output]:
        """Take over if nothing has moved since the alarm was set."""
        heard = (alarm.topic.step, alarm.topic.round)
        return [] if self.finished or self.leads or heard != (self.step, self.reign) else self._lead()

    def _lead(self) -> list[Output]:
        """Begin the next reign of this life."""
        self.reign += self._turns(LIVES)
        return [*self._tell(self._everyone), *self.proceed()]

    def _tell(self, peers: list[int]) -> list[Output]:
        self.finished = self.step >= self.steps
        others = [peer for peer in peers if peer != self.party]
        return self.tell(others, Topic(self.step, MODEL, self.reign), self.keeper.theta)

    def _watch(self) -> Alarm:
        """Return an alarm; the next in line is the least patient."""
        return Alarm(self.patience * self._turns(1), Topic(self.step, MODEL, self.reign))

    @property
    def _everyone(self) -> list[int]:
        return [*self.workers.parties, *self.servers.parties]

    def _leader(self, reign: int) -> int:
        return self.servers.parties[reign % self.servers.n]

    def _turns(self, lives: int) -> int:
        """Return how many reigns it is to one's own next, were there so many lives of a server."""
        n, own = self.servers.n, self.party - self.servers.first
        return (self.life % lives * n + own - self.reign) % (n * lives) or n * lives

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
