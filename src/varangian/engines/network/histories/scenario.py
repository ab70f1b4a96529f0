"""What a history is about: a protocol, its numbers, its links and its faults, all from one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from varangian.core.randomness import Stream
from varangian.engines.network.events import Crash, Event, Partition
from varangian.engines.network.histories.liars import Fickle, Impersonating, Partial
from varangian.engines.network.links import Constant, Delay, Exponential, HeavyTailed, Link, Uniform
from varangian.protocols import (
    FAULTS,
    CrashTolerant,
    Decentralised,
    Fault,
    Flooding,
    Group,
    Replicated,
    Single,
    Synchronous,
    Topology,
)

SIZES: Mapping[str, tuple[tuple[int, int, int, int], ...]] = {
    "single": ((1, 0, 3, 0), (1, 0, 4, 1), (1, 0, 5, 1)),
    "crash-tolerant": ((2, 1, 2, 0), (3, 1, 4, 1), (3, 2, 4, 1)),
    "replicated": ((2, 0, 4, 1), (5, 1, 2, 0), (5, 1, 4, 1), (6, 1, 5, 1)),
    "synchronous": ((2, 0, 4, 1), (5, 1, 2, 0), (5, 1, 4, 1), (6, 1, 5, 1)),
    "diameter": ((0, 0, 3, 0), (0, 0, 7, 1), (0, 0, 7, 1), (0, 0, 8, 1)),
    "witness": ((0, 0, 3, 0), (0, 0, 4, 1), (0, 0, 4, 1)),
    "broadcast": (*((0, 0, 4, 1),) * 36, (0, 0, 5, 1), (0, 0, 7, 2)),
    "agreement-diameter": ((0, 0, 7, 1), (0, 0, 8, 1), (0, 0, 10, 1)),
    "agreement-witness": (*((0, 0, 4, 1),) * 48, (0, 0, 5, 1), (0, 0, 7, 2)),
}
"""Servers, those of them that may lie, workers or peers, those that may lie: small, at the bound or near."""

BROADCASTING = ("broadcast", "witness", "agreement-witness")
"""The protocols in which whom a liar leaves out is the worst of lies: it is drawn more often."""

AGREEING = ("diameter", "witness", "agreement-diameter", "agreement-witness")
"""The protocols of which a step is many messages: their histories are shorter."""

SERVED: Mapping[str, type[Single | CrashTolerant | Replicated | Synchronous]] = {
    "single": Single,
    "crash-tolerant": CrashTolerant,
    "replicated": Replicated,
    "synchronous": Synchronous,
}
PROTOCOLS = tuple(SIZES)


FORGETFUL = 0.4
"""How often a party that comes back has lost its checkpoint too. An only server has nobody to ask then."""
SHORT: Mapping[str, float] = {"replicated": 0.08, "synchronous": 0.08, "diameter": 0.02}
"""How often some are late and memories short: such histories are long."""


@dataclass(frozen=True)
class Scenario:
    """One history before it happens.

    Parties in ``faults`` lie; ``events`` says who crashes and who is cut off; all that the ``late`` are told
    takes long. Liars, crashed and late are at most the f of their group, save that an only server may crash
    if it comes back. A small ``window`` is too little to remember all that the late have not heard of.
    """

    protocol: str
    seed: int
    groups: tuple[Group, ...]
    steps: int
    window: int
    links: Mapping[tuple[int, int], Link]
    faults: Mapping[int, Fault] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    late: frozenset[int] = frozenset()
    topology: Topology | None = None

    @property
    def n(self) -> int:
        """Return how many parties there are."""
        return sum(group.n for group in self.groups)

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """Return the events that are crashes."""
        return tuple(event for event in self.events if isinstance(event, Crash))

    @cached_property
    def honest(self) -> frozenset[int]:
        """Return who never lies."""
        return frozenset(range(self.n)).difference(self.faults)

    @property
    def sound(self) -> frozenset[int]:
        """Return who never lies, never crashes, and is not late: what is proven is proven of them."""
        return self.honest.difference(self.late, (crash.party for crash in self.crashes))

    @property
    def waited(self) -> frozenset[int]:
        """Return who must come to the end: all honest parties but those that crash for good."""
        return self.honest.difference(crash.party for crash in self.crashes if crash.back is None)

    @property
    def stream(self) -> Stream:
        """Return the randomness of all that happens."""
        return Stream(self.seed).at(self.protocol)


def scenario(protocol: str, seed: int) -> Scenario:
    """Draw a scenario."""
    return _Draw(protocol, seed).scenario()


class _Draw:
    """The drawing of one scenario."""

    def __init__(self, protocol: str, seed: int) -> None:
        self.protocol, self.seed = protocol, seed
        drawn = Stream(seed).at(protocol)
        self.rng, self.memories = drawn.at("scenario").numpy(), drawn.at("memories").numpy()

    def scenario(self) -> Scenario:
        rng, sizes = self.rng, SIZES[self.protocol]
        servers, lying, n, f = sizes[int(rng.integers(len(sizes)))]
        short = bool(rng.random() < SHORT.get(self.protocol, 0.0))
        few = 1 + int(rng.random() < 0.15) if self.protocol in AGREEING else int(rng.integers(1, 4))
        steps = 4 if self.protocol in AGREEING and short else 5 if short else few
        window = 3 if short else steps + 2
        topology = self._topology(servers, lying, n, f, window)
        groups = topology.groups if topology else (Group("party", n, f),)
        parties = sum(group.n for group in groups)
        faults: dict[int, Fault] = {}
        events: list[Event] = []
        late: set[int] = set()
        for group in groups:
            chosen = rng.permutation(group.n)[: group.f]
            for party in (group.first + chosen).tolist():
                self._fault(party, steps, short, group, parties, faults, events, late)
        if self.protocol == "single" and rng.random() < 0.3:
            events.append(self._crash(0, sure=True))
        if not short and rng.random() < 0.3:
            cut = frozenset(np.flatnonzero(rng.random(parties) < 0.4).tolist())
            begin = float(rng.uniform(0, 0.1))
            events.append(Partition(cut, begin, begin + float(rng.exponential(0.3))))
        return Scenario(
            self.protocol,
            self.seed,
            groups,
            steps,
            window,
            self._links(parties, short, late),
            faults,
            tuple(events),
            frozenset(late),
            topology,
        )

    def _topology(self, servers: int, lying: int, n: int, f: int, window: int) -> Topology | None:
        if self.protocol in ("diameter", "witness"):
            return Decentralised(peers=n, byzantine=f, way=self.protocol, window=window)
        if not servers:
            return None
        patience = float(self.rng.choice([0.0, 0.02])) if self.protocol in ("single", "replicated") else 0.05
        return SERVED[self.protocol](
            servers=servers,
            byzantine_servers=lying,
            workers=n,
            byzantine_workers=f,
            gather_every=int(self.rng.integers(1, 4)),
            patience=patience,
            window=window,
        )

    def _fault(
        self,
        party: int,
        steps: int,
        short: bool,
        group: Group,
        parties: int,
        faults: dict[int, Fault],
        events: list[Event],
        late: set[int],
    ) -> None:
        """Let a party lie, crash, be late, or be as good as any."""
        draw = self.rng.random()
        if self.protocol == "crash-tolerant" and group.role == "server":
            if draw < 0.8:
                events.append(self._crash(party))
        elif short and draw < 0.4:
            late.add(party)
        elif draw < 0.7:
            faults[party] = self._lie(steps, parties)
        elif draw < 0.9:
            events.append(self._crash(party))

    def _lie(self, steps: int, parties: int) -> Fault:
        rng = self.rng
        if self.protocol in BROADCASTING and rng.random() < 0.3:
            return Partial()
        friends = frozenset(np.flatnonzero(rng.random(parties) < 0.6).tolist())
        more = (Partial(), Fickle(friends, int(rng.integers(steps + 1))), Impersonating(parties))
        k = int(rng.integers(len(FAULTS) + len(more)))
        return (
            more[k]
            if k < len(more)
            else FAULTS[k - len(more)](**({"times": 3} if FAULTS[k - len(more)] is Flooding else {}))
        )

    def _crash(self, party: int, sure: bool = False) -> Crash:
        at = float(self.rng.uniform(0, 0.1))
        back = at + float(self.rng.exponential(0.1)) if sure or self.rng.random() < 0.7 else None
        return Crash(party, at, back, keeps=sure or self.memories.random() > FORGETFUL)

    def _links(self, parties: int, short: bool, late: set[int]) -> dict[tuple[int, int], Link]:
        """Draw how each pair's link is: alike for most, far slower for some, any loss or disorder for all."""
        rng = self.rng
        usual: tuple[Delay, ...] = (Constant(), Uniform(), Exponential(), HeavyTailed())
        delay = Uniform(0.01, 0.015) if short else usual[int(rng.integers(4))]
        loss, duplicate, reorder = (np.array([0.1, 0.1, 0.3]) * (rng.random(3) < 0.4)).tolist()
        if short:
            loss = reorder = 0.0
        fast = Link(delay, loss=loss, duplicate=duplicate, reorder=reorder)
        slow = Link(Constant(0.4) if short else HeavyTailed(0.2), loss, duplicate=duplicate, reorder=reorder)
        drag = rng.random((parties, parties)) < (0.0 if short else rng.choice([0.0, 0.15, 0.4]))
        return {
            (a, b): slow if drag[a, b] or b in late else fast for a in range(parties) for b in range(parties)
        }
