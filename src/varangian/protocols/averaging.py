"""Averaging agreement: honest parties' vectors come closer to each other, and stay near their mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from varangian.core.conditions import Condition
from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import Body, Form, Kind, Message, Output, Topic
from varangian.protocols.node import Node
from varangian.protocols.work import Reducer


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
        """Tell one's own vector of a round, unless one told another before a restart."""

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

    def recall(self, said: Mapping[Topic, Body]) -> None:
        """Take back what the node had said before it was restarted: it stands by that."""
        party = self.node.party
        for topic, body in said.items():
            self.node.mailbox.put(Message(party, party, topic, body))

    def forget(self, before: int) -> None:
        """Drop what is about earlier steps."""
        self.node.mailbox.forget(before)
