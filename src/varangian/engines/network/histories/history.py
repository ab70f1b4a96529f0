"""One seed, one history of a protocol, held to its invariants while it happens and at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from varangian.engines.network.histories import invariants
from varangian.engines.network.histories.liars import Counted
from varangian.engines.network.histories.quadratic import RATE, Holder, Puller, still
from varangian.engines.network.histories.rules import least_diameter_mean, mean, median, trimmed_mean
from varangian.engines.network.histories.scenario import Scenario, scenario
from varangian.engines.network.histories.watching import Watch
from varangian.engines.network.network import Delivery, Network
from varangian.protocols import (
    Agreement,
    Averaging,
    Broadcaster,
    ByDiameter,
    ByWitness,
    Form,
    Group,
    Node,
    Reducer,
    Replicated,
    Task,
    broadcast,
)
from varangian.protocols.filters import outlier_bound
from varangian.protocols.peer import rounds_of
from varangian.protocols.server import GATHER, MODEL

D = 2
FORM = Form(np.dtype(np.float64), D)
WAYS: dict[str, type[Averaging]] = {"diameter": ByDiameter, "witness": ByWitness}


@dataclass
class Outcome:
    """What came of a history: counts, and what was left of diameters and spreads.

    ``injected`` counts lies, crashes, and second values by name. ``left`` holds the shares of the diameter
    that agreements left, ``gathered`` those of the spread that gathers left, ``asked`` those of the servers
    that a worker asked where it need not ask all.
    """

    scenario: Scenario
    sent: int = 0
    time: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left: list[float] = field(default_factory=list)
    gathered: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)


def history(protocol: str, seed: int, trace: list[Delivery] | None = None) -> Outcome:
    """Play the history of a seed; deliveries are appended to ``trace``.

    >>> history("broadcast", seed=1).sent > 0
    True

    Raises Broken.
    """
    return play(scenario(protocol, seed), trace)


def play(drawn: Scenario, trace: list[Delivery] | None = None) -> Outcome:
    """Play one scenario to the last message. Raises Broken."""
    return Playing(drawn, trace).outcome()


class Playing:
    """A history as it goes: its ``network``, its ``watch``, and at the end its ``outcome``."""

    def __init__(self, drawn: Scenario, trace: list[Delivery] | None) -> None:
        self.scenario, self.group = drawn, drawn.groups[-1]
        rng = drawn.stream.at("training").numpy()
        self.goals = [still(row) for row in rng.standard_normal((drawn.n, D)) * 3]
        self.lies: Counter[str] = Counter()
        self.learners: dict[int, Puller] = {}
        self.holders: dict[int, Holder] = {}
        self.make: Callable[[int], Node] = self._maker()
        self.watch = Watch(drawn)
        self.watch.deliveries = trace
        self.network = Network(
            self._node,
            drawn.n,
            link=lambda a, b: drawn.links[a, b],
            events=drawn.events,
            stream=drawn.stream,
            watch=self.watch,
        )
        self.watch.network = self.network

    def outcome(self) -> Outcome:
        """Deliver all there is, and judge."""
        self.network.run()
        self.watch.settle()
        nodes, drawn = self.network.nodes, self.scenario
        outcome = Outcome(drawn, self.network.sent, self.network.time, self.lies + self.watch.seen)
        crashes = [crash for crash in drawn.crashes if crash.at <= self.network.time]
        outcome.injected["crash"] = len(crashes)
        outcome.injected["amnesia"] = sum(crash.back is not None and not crash.keeps for crash in crashes)
        for node in nodes.values():
            outcome.refused.update({why.name: many for (_, why), many in node.refused.items()})
        if isinstance(nodes[min(drawn.sound)], Broadcaster):
            delivered = {
                party: node.delivered for party, node in nodes.items() if isinstance(node, Broadcaster)
            }
            invariants.broadcasts(drawn.sound, dict(enumerate(self.goals)), delivered)
            return outcome
        finished = {party: node.finished for party, node in nodes.items()}
        standing = {party: node.step for party, node in nodes.items()}
        invariants.nobody_waits(drawn.waited, finished, standing)
        self._judge(outcome)
        return outcome

    def _judge(self, outcome: Outcome) -> None:
        """Hold agreements, gathers and questions to what is proven of them."""
        drawn = self.scenario
        if drawn.topology is None:
            given = {party: self.goals[party] for party in drawn.sound}
            nodes = {party: self.network.nodes[party] for party in drawn.sound}
            out = {party: node.vector for party, node in nodes.items() if isinstance(node, Agreement)}
            outcome.left.append(invariants.averages(self.way, self.group, drawn.steps, given, out))
        elif drawn.protocol in WAYS:
            self._judge_peers(outcome)
        elif drawn.protocol in ("replicated", "synchronous"):
            self._judge_servers(outcome)

    def _judge_peers(self, outcome: Outcome) -> None:
        judged = partial(invariants.averages, self.way, self.group)
        for step in range(self.scenario.steps):
            sound = [party for party in self.scenario.sound if step in self.holders[party].steps]
            said = {party: self.learners[party].said[step] for party in sound}
            agreed = {party: self.holders[party].steps[step][0] for party in sound}
            told = {party: self.holders[party].steps[step][1] for party in sound}
            came = {party: self.holders[party].came[step] for party in sound}
            left = [judged(rounds_of(step), said, agreed), judged(1, told, came)]
            outcome.left += left if rounds_of(step) else left[1:]

    def _judge_servers(self, outcome: Outcome) -> None:
        servers, told, topology = self.scenario.groups[0], self.watch.told, self.scenario.topology
        assert isinstance(topology, Replicated)
        every = topology.gather_every
        for step in range(1, self.scenario.steps + 1):
            before, after = told.get((GATHER, step), {}), told.get((MODEL, step), {})
            sound = {server: model for server, model in after.items() if server in self.scenario.sound}
            if before and sound:
                share = invariants.gathers(before, sound)
                outcome.gathered += [] if share is None else [share]
        for worker in self.scenario.sound.intersection(self.group.parties):
            learner = self.learners[worker]
            for step, theta in learner.at.items():
                models = told.get((MODEL, step))
                if models and np.isfinite(near := self._near(step, every)):
                    invariants.believes(worker, theta, models, near)
        for (worker, step), asked in self.watch.asked.items():
            if step % every and step < self.scenario.steps and worker in self.scenario.sound:
                outcome.asked.append(len(asked) / servers.n)

    def _near(self, step: int, every: int) -> float:
        """Return how far from the honest models a worker may believe: not at all, unless filters decide.

        A model within the filter's bound of the worker's guess is within twice that of an honest model, if
        an honest model is. The bound grows with the gradient at a gather, where nobody believes one server.
        """
        if self.scenario.protocol != "synchronous" or step % every == 0:
            return 0.0
        honest = [self.learners[party] for party in self.scenario.honest.intersection(self.group.parties)]
        longest = max(
            float(np.linalg.norm(one.at[k] - one.goal)) for one in honest for k in one.at if k % every == 0
        )
        return 2 * outlier_bound(RATE, longest, step, every, self.group.n, self.group.f)

    def _node(self, party: int) -> Node:
        node = self.make(party)
        fault = self.scenario.faults.get(party)
        return node if fault is None else Counted(node, fault, self.scenario.stream, self.lies)

    def _maker(self) -> Callable[[int], Node]:
        drawn, group, name = self.scenario, self.group, self.scenario.protocol
        if name == "broadcast":
            said = broadcast.kinds(group, FORM)
            return lambda party: Broadcaster(party, said, group, self.goals[party])
        self.way = WAYS[name.removeprefix("agreement-")] if name.endswith(tuple(WAYS)) else ByDiameter
        reduce = _average(self.way, group)
        if drawn.topology is None:
            kinds = self.way.kinds(group, FORM)
            return lambda party: Agreement(
                party,
                kinds,
                group=group,
                way=self.way,
                reduce=reduce,
                vector=self.goals[party],
                rounds=drawn.steps,
            )
        topology = drawn.topology
        return lambda party: topology.node(party, self._task(party, reduce))

    def _task(self, party: int, reduce: Reducer) -> Task:
        return Task(
            form=FORM,
            steps=self.scenario.steps,
            learner=lambda _: self.learners.setdefault(party, Puller(self.goals[party])).begin(),
            keeper=lambda: self.holders.setdefault(party, self._holder()).begin(),
            middle=lambda models: models[0] if len(models) == 1 else median(models),
            reduce=reduce,
        )

    def _holder(self) -> Holder:
        f = self.group.f
        rule = partial(trimmed_mean, f=f) if f else mean
        return Holder(np.zeros(D), rule, self.scenario.honest)


def _average(way: type[Averaging], group: Group) -> Reducer:
    rule = trimmed_mean if way is ByWitness else least_diameter_mean
    return partial(rule, f=group.f)
