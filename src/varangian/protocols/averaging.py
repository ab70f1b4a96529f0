"""Averaging agreement: honest parties' vectors come closer to each other, and stay near their mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from varangian.core.conditions import Condition
from varangian.protocols import broadcast
from varangian.protocols.broadcast import INIT, ReliableBroadcast
from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import Body, Form, Kind, Message, Output, Topic
from varangian.protocols.node import Node
from varangian.protocols.work import Reducer

VALUE, WITNESS = "value", "witness"


class Averaging(ABC):
    """One way to average, as a part of a node: a vector is proposed, and later there is an outcome."""

    def __init__(self, node: Node, group: Group, reduce: Reducer, past: int = WINDOW) -> None:
        self.node, self.group, self.reduce, self.past = node, group, reduce, past

    @staticmethod
    @abstractmethod
    def condition(f: int) -> Condition:
        """Return how many parties it takes."""

    @staticmethod
    @abstractmethod
    def least(group: Group) -> Condition:
        """Return how many parties a node has to wait for."""

    @staticmethod
    @abstractmethod
    def factor(group: Group) -> float:
        """Return what an exchange leaves of the honest diameter under the worst schedule, as a share."""

    @classmethod
    def exchanges(cls, group: Group, rounds: int) -> int:
        """Return how many exchanges it takes to halve the honest diameter ``rounds`` times, come what may.

        Where no number is enough, each round is one exchange, and nothing is promised.
        """
        factor = cls.factor(group)
        if rounds == 0 or factor >= 1:
            return rounds
        return 1 if factor <= 0 else math.ceil(rounds * math.log(0.5) / math.log(factor) - 1e-9)

    @staticmethod
    @abstractmethod
    def kinds(group: Group, form: Form) -> dict[str, Kind]:
        """Return what the parties say to each other."""

    @abstractmethod
    def propose(self, step: int, round: int, vector: Body) -> list[Output]:
        """Tell one's own vector of a round."""

    @abstractmethod
    def outcome(self, step: int, round: int) -> Body | None:
        """Return the average of a round, or None while too little has arrived."""

    @abstractmethod
    def quorums(self) -> list[tuple[int, int, list[Body]]]:
        """Return the steps and rounds of which a quorum's vectors are there, with the vectors."""

    def further(self) -> list[Output]:
        """Return what is to be said before the outcome."""
        return []

    def hear(self, message: Message) -> list[Output]:
        """Return what is to be said of a message at once."""
        return []

    def forget(self, before: int) -> None:
        """Drop what is about earlier steps."""
        self.node.mailbox.forget(before)


class ByDiameter(Averaging):
    """Everyone tells its vector; a quorum's vectors become the mean of their closest q - f.

    ``reduce`` is that mean, or another rule whose condition holds on the quorum.

    Guarantee   an exchange leaves at most (n - q + 3f) / (q - f) of the honest diameter, 4f / (n - 2f) with
                q = n - f: of two honest parties' q - f vectors, at most n - q + 2f are not the same. f of
                these are of liars, who tell each something else, at most two diameters apart, for both are
                within one of an honest vector that the two share; the others differ by one. A party moves by
                at most ((n - q + f) / (n - f) + f / (q - f)) diameters from the honest mean.
    Reference   El-Mhamdi et al., NeurIPS 2021
    """

    @staticmethod
    def condition(f: int) -> Condition:
        """Return n >= 6f + 1."""
        return Condition(6 * f + 1, "n >= 6f + 1")

    @staticmethod
    def least(group: Group) -> Condition:
        """Return 2q >= n + 4f + 1: with fewer, an exchange need not bring anyone closer."""
        return Condition((group.n + 4 * group.f + 2) // 2, "2q >= n + 4f + 1")

    @staticmethod
    def factor(group: Group) -> float:
        """Return (n - q + 3f) / (q - f)."""
        n, f, q = group.n, group.f, group.quorum
        return (n - q + 3 * f) / (q - f)

    @staticmethod
    def kinds(group: Group, form: Form) -> dict[str, Kind]:
        """Return vectors."""
        return {VALUE: Kind(form, frozenset(group.parties), liars=group.f)}

    def propose(self, step: int, round: int, vector: Body) -> list[Output]:
        """Tell one's vector to everybody."""
        return self.node.tell(self.group.parties, Topic(step, VALUE, round), vector)

    def outcome(self, step: int, round: int) -> Body | None:
        """Return the rule's answer to a quorum, one's own vector included."""
        box, topic = self.node.mailbox, Topic(step, VALUE, round)
        if box.count(topic) < self.group.quorum or not box.has(topic, self.node.party):
            return None
        return self.reduce(list(box.on(topic).values()))

    def quorums(self) -> list[tuple[int, int, list[Body]]]:
        """Return the topics on which a quorum has spoken."""
        box = self.node.mailbox
        return [
            (topic.step, topic.round, list(box.on(topic).values()))
            for topic in box.topics(VALUE)
            if box.count(topic) >= self.group.quorum
        ]


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

    def forget(self, before: int) -> None:
        """Drop what is about much earlier steps: who is slower needs one's ECHO and READY."""
        self.node.mailbox.forget(before, self.past)
        self.broadcast.forget()


class Agreement(Node):
    """Averaging agreement by itself: ``rounds`` rounds, each halving at least how far honest parties differ.

    A round is as many exchanges as that takes. ``outcome`` is the vector at the end.
    """

    def __init__(
        self,
        party: int,
        kinds: Mapping[str, Kind],
        *,
        group: Group,
        way: type[Averaging],
        reduce: Reducer,
        vector: Body,
        rounds: int,
    ) -> None:
        self.exchanges = way.exchanges(group, rounds)
        super().__init__(party, kinds, window=self.exchanges + 2)
        self.averaging = way(self, group, reduce)
        self.vector, self.round = vector, 0

    @property
    def outcome(self) -> Body | None:
        """Return the agreed vector, or None before the end."""
        return self.vector if self.finished else None

    def start(self) -> list[Output]:
        """Propose the vector."""
        self.finished = self.round >= self.exchanges
        return [] if self.finished else [*self.averaging.propose(0, self.round, self.vector), *self.proceed()]

    def hear(self, message: Message) -> list[Output]:
        """Take part in the others' broadcasts."""
        return self.averaging.hear(message)

    def proceed(self) -> list[Output]:
        """Go through as many exchanges as what has arrived allows."""
        said = self.averaging.further()
        while not self.finished and (vector := self.averaging.outcome(0, self.round)) is not None:
            self.vector, self.round = vector, self.round + 1
            self.finished = self.round >= self.exchanges
            if not self.finished:
                said += self.averaging.propose(0, self.round, vector) + self.averaging.further()
        return said
