"""Who takes part in a protocol, and the node of each: a topology is a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from varangian.core.checks import check_fields
from varangian.core.stages import Stage
from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import NO_NUMBERS, Form, Kind
from varangian.protocols.node import Node
from varangian.protocols.work import Keeper, Learner, Reducer


@dataclass(frozen=True)
class Task:
    """What a node does for its protocol: its sides of the training, and the rules between parties.

    ``learner(k)`` is worker k's, ``keeper()`` a server's; ``middle`` joins models, ``reduce`` peers' vectors.
    """

    form: Form
    steps: int
    learner: Callable[[int], Learner]
    keeper: Callable[[], Keeper]
    middle: Reducer
    reduce: Reducer


@dataclass(frozen=True, kw_only=True)
class Topology(ABC):
    """Servers and workers, or peers: how many, how many may lie, and whom a node waits for.

    Servers come first in the numbering, then workers. ``patience`` is in seconds.
    """

    window: int = WINDOW

    def __post_init__(self) -> None:
        check_fields(self, least=0)

    @property
    @abstractmethod
    def groups(self) -> tuple[Group, ...]:
        """Return the roles."""

    @abstractmethod
    def check(self, rule: Stage) -> None:
        """Refuse numbers with which the protocol, or a rule on its quorum, proves nothing.

        Raises ToleranceError.
        """

    @abstractmethod
    def kinds(self, form: Form) -> dict[str, Kind]:
        """Return what parties may say, vectors being of a form."""

    @abstractmethod
    def node(self, party: int, task: Task) -> Node:
        """Return the node of a party."""

    @property
    def gone(self) -> Kind:
        """Return the kind of which all parties are that do not keep what they said."""
        return Kind(NO_NUMBERS, frozenset(range(self.n)), liars=sum(group.f for group in self.groups))

    @property
    def n(self) -> int:
        """Return how many parties there are."""
        return sum(group.n for group in self.groups)

    def role(self, party: int) -> tuple[Group, int]:
        """Return a party's group, and its number in it."""
        group = next(group for group in self.groups if party in group.parties)
        return group, party - group.first

    def name(self, party: int) -> str:
        """Return what a party is called: server0, worker3, peer2."""
        group, number = self.role(party)
        return f"{group.role}{number}"

    def links(self) -> list[tuple[int, int]]:
        """Return the pairs of parties that speak to each other: all but two workers."""
        roles = [self.role(party)[0].role for party in range(self.n)]
        return [(a, b) for a in range(self.n) for b in range(a) if {roles[a], roles[b]} != {"worker"}]
