"""Averaging by the closest of what a quorum tells."""

from __future__ import annotations

from varangian.core.conditions import Condition
from varangian.protocols.averaging import Averaging
from varangian.protocols.group import Group
from varangian.protocols.message import Body, Form, Kind, Output, Topic

VALUE = "value"


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
        """Tell one's vector to everybody, unless one told another before a restart."""
        topic = Topic(step, VALUE, round)
        told = self.node.mailbox.has(topic, self.node.party)
        return [] if told else self.node.tell(self.group.parties, topic, vector)

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
