"""The worst that can happen, by search: who is slow to whom, and what liars tell whom.

A plan is a row of numbers. Whoever needs a decision (is this message slow? what does this liar tell that
party in this round?) reads one of them, by the name of the decision. So every plan means something, and a
change of a number is a change of a few decisions; the search keeps what makes things worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from varangian.core.randomness import Stream
from varangian.engines.network.histories import rules
from varangian.engines.network.histories.invariants import broadcasts, diameter
from varangian.engines.network.network import Network
from varangian.protocols import (
    Agreement,
    Averaging,
    Body,
    Broadcaster,
    ByWitness,
    Fault,
    Form,
    Group,
    Liar,
    Message,
    Node,
    broadcast,
)
from varangian.protocols.broadcast import ECHO, READY, digest

FORM = Form(np.dtype(np.float64), 1)
FAST, SLOW = 0.01, 1000.0
LIES: tuple[float | None, ...] = (None, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
"""What a liar may tell, None being silence; honest inputs are between 0 and 1."""


@dataclass(frozen=True)
class Plan:
    """All decisions of an adversary that knows everything, as numbers between 0 and 1."""

    genes: NDArray[Any]

    def gene(self, *decision: Any) -> float:
        """Return the number that a decision goes by."""
        return float(self.genes[crc32(repr(decision).encode()) % len(self.genes)])

    def choice(self, options: Sequence[Any], *decision: Any) -> Any:
        """Return one of some options."""
        return options[int(self.gene(*decision) * len(options))]

    def seconds(self, message: Message) -> float:
        """Return how long a message takes: until nearly all others have arrived, for one in three."""
        gene = self.gene("slow", message.sender, message.receiver, message.topic)
        return FAST * (1 + gene) if gene < 2 / 3 else SLOW * (1 + gene)


@dataclass(frozen=True)
class Planned(Fault):
    """Tell each party what the plan says: a number, or nothing; of others' values, what fits with that."""

    plan: Plan

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return what the plan says."""
        topic, receiver = message.topic, message.receiver
        if topic.kind in (ECHO, READY):
            told = self._told(topic.subject, topic.step, topic.round, receiver)
            if self.plan.gene("say", topic, receiver) < 0.3:
                return []
            if told is None or self.plan.gene("truth", topic, receiver) < 0.5:
                return [message]
            body = np.frombuffer(digest(told), np.uint8) if topic.kind == READY else told
            return [message._replace(body=body)]
        if message.body.dtype.kind != "f":
            return [message] if self.plan.gene("say", topic, receiver) > 0.3 else []
        told = self._told(message.sender, topic.step, topic.round, receiver)
        return [] if told is None else [message._replace(body=told)]

    def _told(self, origin: int, step: int, round: int, receiver: int) -> Body | None:
        number = self.plan.choice(LIES, "lie", origin, step, round, receiver)
        return None if number is None else np.array([number])


def worst(
    badness: Callable[[Plan], float],
    *,
    stream: Stream,
    tries: int = 2000,
    genes: int = 256,
    enough: float = float("inf"),
) -> tuple[float, Plan]:
    """Return the worst badness found, and its plan: climb from a random plan, and start again when stuck.

    Stops at ``enough``, or after so many tries.
    """
    rng = stream.at("search").numpy()
    best = here = Plan(rng.random(genes))
    most = height = badness(best)
    stuck = 0
    for _ in range(tries):
        if most >= enough:
            break
        if stuck > tries // 8:
            here, stuck = Plan(rng.random(genes)), 0
            height = badness(here)
        changed = rng.random(genes) < rng.choice([1.0, 3.0, 10.0, 30.0]) / genes
        there = Plan(np.where(changed, rng.random(genes), here.genes))
        value = badness(there)
        stuck = 0 if value > height else stuck + 1
        if value >= height:
            here, height = there, value
        if height > most:
            best, most = here, height
    return most, best


def agreement(way: type[Averaging], group: Group, plan: Plan) -> float:
    """Return what share of the honest diameter one exchange leaves; infinity if somebody waits for ever."""
    rule = rules.trimmed_mean if way is ByWitness else rules.least_diameter_mean
    inputs = [np.array([plan.choice((0.0, 0.0, 0.5, 1.0, 1.0), "input", k)]) for k in group.parties]
    kinds = way.kinds(group, FORM)

    def made(party: int) -> Agreement:
        node = Agreement(
            party,
            kinds,
            group=group,
            way=way,
            reduce=lambda vectors: rule(vectors, group.f),
            vector=inputs[party],
            rounds=1,
        )
        node.exchanges = 1
        return node

    nodes = _played(made, group, plan)
    if not all(node.finished for node in nodes.values()):
        return float("inf")
    before = diameter({party: inputs[party] for party in nodes})
    return diameter({party: node.vector for party, node in nodes.items()}) / before if before else 0.0


def reliable_broadcast(group: Group, plan: Plan) -> float:
    """Return 1 if a property of reliable broadcast is broken, 0 if none is."""
    values = {party: np.array([float(party)]) for party in group.parties}
    kinds = broadcast.kinds(group, FORM)
    nodes = _played(lambda party: Broadcaster(party, kinds, group, values[party]), group, plan)
    try:
        broadcasts(frozenset(nodes), values, {party: node.delivered for party, node in nodes.items()})
    except AssertionError:
        return 1.0
    return 0.0


def _played(made: Callable[[int], Any], group: Group, plan: Plan) -> dict[int, Any]:
    """Play a plan to its last message; return the honest nodes.

    The first f parties are the liars: of subsets that are as good, a rule takes the first.
    """
    honest = range(group.f, group.n)

    def node(party: int) -> Node:
        one: Node = made(party)
        return one if party in honest else Liar(one, Planned(plan), Stream())

    network = Network(node, group.n, schedule=plan.seconds)
    network.run()
    return {party: network.nodes[party] for party in honest}
