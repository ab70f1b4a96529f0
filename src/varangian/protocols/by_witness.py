"""Averaging by reliable broadcast, witnesses, and a trimmed mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from varangian.core.conditions import Condition
from varangian.protocols import broadcast
from varangian.protocols.averaging import Averaging
from varangian.protocols.broadcast import INIT, ReliableBroadcast
from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import Body, Form, Kind, Message, Output, Topic
from varangian.protocols.node import Node
from varangian.protocols.work import Reducer

WITNESS = "witness"


class ByWitness(Averaging):
    """Everyone broadcasts its vector reliably, then tells whose vectors it was the first to have.

    When a quorum of such sets is covered by what was delivered, any two honest parties share a quorum of
    vectors. ``reduce`` is a trimmed mean.

    Guarantee   in every coordinate, an exchange leaves at most (n - q) / (n - 2f) of the honest spread,
                f / (n - 2f) with q = n - f, and nothing leaves the range of the honest values. The worst is
                one party that trims the q shared values, and another with the n - q others on the far side.
    Reference   El-Mhamdi et al., NeurIPS 2021
    """

    def __init__(self, node: Node, group: Group, reduce: Reducer, past: int = WINDOW) -> None:
        super().__init__(node, group, reduce, past)
        self.broadcast = ReliableBroadcast(node, group)
        self._at: Topic | None = None

    @staticmethod
    def condition(f: int) -> Condition:
        """Return n >= 3f + 1."""
        return Condition(3 * f + 1, "n >= 3f + 1")

    @staticmethod
    def least(group: Group) -> Condition:
        """Return q >= 2f + 1."""
        return Condition(2 * group.f + 1, "q >= 2f + 1")

    @staticmethod
    def factor(group: Group) -> float:
        """Return (n - q) / (n - 2f)."""
        return (group.n - group.quorum) / (group.n - 2 * group.f)

    @staticmethod
    def kinds(group: Group, form: Form) -> dict[str, Kind]:
        """Return the broadcast's kinds, and sets of parties."""
        sets = Kind(Form(np.dtype(np.uint8), group.n), frozenset(group.parties), liars=group.f)
        return {**broadcast.kinds(group, form), WITNESS: sets}

    def propose(self, step: int, round: int, vector: Body) -> list[Output]:
        """Broadcast one's vector."""
        self._at = Topic(step, INIT, round)
        return self.broadcast.send(self._at, vector)

    def hear(self, message: Message) -> list[Output]:
        """Take part in everybody's broadcast, whatever round it is of."""
        return [] if message.topic.kind == WITNESS else self.broadcast.receive(message)

    def further(self) -> list[Output]:
        """Tell once whose vectors there are, as soon as they are a quorum's."""
        if self._at is None:
            return []
        delivered = self.broadcast.delivered.get(self._at, {})
        topic = self._at._replace(kind=WITNESS)
        if len(delivered) < self.group.quorum or self.node.party in self.node.mailbox.on(topic):
            return []
        own = np.zeros(self.group.n, np.uint8)
        own[[party - self.group.first for party in delivered]] = 1
        return self.node.tell(self.group.parties, topic, own)

    def outcome(self, step: int, round: int) -> Body | None:
        """Return the trimmed mean of all that was delivered, once a quorum of witnesses is covered."""
        delivered = self.broadcast.delivered.get(Topic(step, INIT, round), {})
        topic, quorum = Topic(step, WITNESS, round), self.group.quorum
        if len(delivered) < quorum or self.node.mailbox.count(topic) < quorum:
            return None
        sets = self.node.mailbox.on(topic)
        have = np.zeros(self.group.n, bool)
        have[[party - self.group.first for party in delivered]] = True
        valid = [s.astype(bool) for s in sets.values() if np.count_nonzero(s) >= quorum]
        if sum(not (one & ~have).any() for one in valid) < quorum:
            return None
        return self.reduce([delivered[party] for party in sorted(delivered)])

    def quorums(self) -> list[tuple[int, int, list[Body]]]:
        """Return the topics of which a quorum's vectors were delivered."""
        return [
            (topic.step, topic.round, [values[party] for party in sorted(values)])
            for topic, values in self.broadcast.delivered.items()
            if len(values) >= self.group.quorum
        ]

    def recall(self, said: Mapping[Topic, Body]) -> None:
        """Take back what the node had said before it was restarted, in broadcasts too."""
        super().recall(said)
        self.broadcast.recall(said)

    def forget(self, before: int) -> None:
        """Drop what is about much earlier steps: who is slower needs one's ECHO and READY."""
        self.node.mailbox.forget(before, self.past)
        self.broadcast.forget()
