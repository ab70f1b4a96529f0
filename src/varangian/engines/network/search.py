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
from varangian.engines.network.histories.broken import Broken
from varangian.engines.network.histories.invariants import broadcasts, diameter
from varangian.engines.network.histories.quadratic import Holder, Puller
from varangian.engines.network.links import Constant, Link, Uniform
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
    Kind,
    Liar,
    Message,
    Node,
    Single,
    Task,
    broadcast,
)
from varangian.protocols.broadcast import ECHO, READY, digest
from varangian.protocols.member import Setting
from varangian.protocols.server import GATHER, MODEL, Server

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
    most = height = _bad(badness(best))
    stuck = 0
    for _ in range(tries):
        if most >= enough:
            break
        if stuck > tries // 8:
            here, stuck = Plan(rng.random(genes)), 0
            height = _bad(badness(here))
        changed = rng.random(genes) < rng.choice([1.0, 3.0, 10.0, 30.0]) / genes
        there = Plan(np.where(changed, rng.random(genes), here.genes))
        value = _bad(badness(there))
        stuck = 0 if value > height else stuck + 1
        if value >= height:
            here, height = there, value
        if height > most:
            best, most = here, height
    return most, best


def _bad(value: float) -> float:
    """Return a badness; what is no number any more is as bad as can be."""
    return float("inf") if np.isnan(value) else value


def agreement(way: type[Averaging], group: Group, plan: Plan) -> float:
    """Return what share of the honest diameter one exchange leaves; infinity if somebody waits for ever.

    The first f parties are the liars: of subsets that are as good, a rule takes the first.
    """
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

    network, honest = _play(made, group.n, group.parties[: group.f], plan), group.parties[group.f :]
    nodes = {party: network.nodes[party] for party in honest}
    if not all(node.finished for node in nodes.values()):
        return float("inf")
    before = diameter({party: inputs[party] for party in honest})
    vectors = {party: node.vector for party, node in nodes.items() if isinstance(node, Agreement)}
    return diameter(vectors) / before if before else 0.0


def reliable_broadcast(group: Group, plan: Plan) -> float:
    """Return 1 if a property of reliable broadcast is broken, 0 if none is."""
    values = {party: np.array([float(party)]) for party in group.parties}
    kinds = broadcast.kinds(group, FORM)
    liars, honest = group.parties[: group.f], group.parties[group.f :]
    network = _play(lambda party: Broadcaster(party, kinds, group, values[party]), group.n, liars, plan)
    nodes = {party: network.nodes[party] for party in honest}
    taken = {party: node.delivered for party, node in nodes.items() if isinstance(node, Broadcaster)}
    try:
        broadcasts(frozenset(honest), values, taken)
    except Broken:
        return 1.0
    return 0.0


def aggregation(workers: Group, plan: Plan) -> float:
    """Return how far a server's step leaves the range of the honest gradients; infinity if it never comes.

    The server takes the median of the first quorum, with which it does not leave it from 2f + 1 on.
    """
    inputs = {party: np.array([plan.gene("input", party)]) for party in workers.parties}
    holder = Holder(np.zeros(1), rules.median, frozenset(workers.parties))
    topology = Single(
        workers=workers.n, byzantine_workers=workers.f, worker_quorum=workers.quorum, servers=workers.first
    )
    task = Task(
        form=FORM,
        steps=1,
        learner=lambda number: Puller(-inputs[workers.first + number]),
        keeper=lambda: holder,
        middle=lambda models: models[0],
        reduce=rules.mean,
    )
    liars = workers.parties[: workers.f]
    holder.honest = frozenset(workers.parties[workers.f :])
    try:
        _play(lambda party: topology.node(party, task), topology.n, liars, plan)
    except Broken as broken:
        return 1.0 if broken.invariant == "range" else float("nan")
    return 0.0 if holder.steps else float("inf")


def gathering(servers: Group, plan: Plan, schedules: int = 50) -> float:
    """Return what share of the honest servers' spread a gather leaves, in the mean of random schedules.

    The adversary chooses the models, and what liars tell whom, before all others; it does not choose in which
    order honest models arrive. Where it does, all of the spread can be left, with any number of servers.
    """
    shares = [_gather(servers, plan, Stream(schedule)) for schedule in range(schedules)]
    return float(np.mean(shares))


def _gather(servers: Group, plan: Plan, stream: Stream) -> float:
    models = {party: np.array([plan.choice((0.0, 0.5, 1.0), "input", party)]) for party in servers.parties}
    liars, honest = servers.parties[: servers.f], servers.parties[servers.f :]
    kinds = {GATHER: Kind(FORM, frozenset(servers.parties)), MODEL: Kind(FORM, frozenset(servers.parties))}
    nobody = Group("worker", 0, first=servers.n)
    setting = Setting(kinds=kinds, servers=servers, workers=nobody, steps=0)
    keepers = {party: Holder(models[party], rules.mean, frozenset()) for party in servers.parties}

    def made(party: int) -> Node:
        server = Server(party, setting, keepers[party], rules.median)
        server.gathering = True
        return server

    network = _play(made, servers.n, liars, plan, stream)
    if not all(network.nodes[party].finished for party in honest):
        return float("inf")
    before = diameter({party: models[party] for party in honest})
    return diameter({party: keepers[party].theta for party in honest}) / before if before else 0.0


def _play(
    made: Callable[[int], Any], n: int, liars: Sequence[int], plan: Plan, order: Stream | None = None
) -> Network:
    """Play a plan to its last message: its lies, and its schedule unless a stream orders the messages."""

    def node(party: int) -> Node:
        one: Node = made(party)
        return Liar(one, Planned(plan), Stream()) if party in liars else one

    swift, usual = Link(Constant(0.0)), Link(Uniform(0.01, 0.02))
    network = Network(
        node,
        n,
        link=lambda sender, _: swift if sender in liars else usual,
        schedule=plan.seconds if order is None else None,
        stream=order,
    )
    network.run()
    return network
