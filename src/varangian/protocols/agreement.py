"""Averaging agreement by itself."""

from __future__ import annotations

from collections.abc import Mapping

from varangian.protocols.averaging import Averaging
from varangian.protocols.group import Group
from varangian.protocols.message import Body, Kind, Message, Output
from varangian.protocols.node import Node
from varangian.protocols.work import Reducer


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
