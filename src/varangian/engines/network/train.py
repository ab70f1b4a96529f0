"""An experiment on the simulated network."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from varangian.core.randomness import Stream
from varangian.engines.gathered import Gathered
from varangian.engines.loop import Progress
from varangian.engines.network.events import Event
from varangian.engines.network.links import Link
from varangian.engines.network.network import Network
from varangian.engines.roles import Trainee, task_of
from varangian.engines.threads import threads_for
from varangian.engines.world import World
from varangian.errors import RunError
from varangian.metrics import Table
from varangian.optim import rate_at
from varangian.protocols import Body, Fault, Liar, Node, Single, Topology
from varangian.specification import Experiment

Watch = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class OnNetwork:
    """How an experiment is trained by nodes that send each other messages, in virtual time.

    ``faults`` says which servers or peers lie on the wire, by number; workers that lie do so by the
    experiment's attack. Without a topology there is one server.

    >>> from varangian.protocols import Equivocating, Replicated
    >>> spec = Experiment(workers=4, steps=3, model="logistic")
    >>> lied = OnNetwork(topology=Replicated(workers=4), faults={4: Equivocating()}).run(spec)
    >>> sorted(lied.accuracies), lied.metrics["step"][-1]
    (['server0', 'server1', 'server2', 'server3'], 3.0)
    """

    topology: Topology | None = None
    link: Link = field(default_factory=Link)
    faults: Mapping[int, Fault] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    def run(self, spec: Experiment, watch: Watch | None = None) -> Gathered:
        """Return what came of it; ``watch`` is told of the first honest holder's steps.

        Randomness  from the experiment's seed alone
        Raises      ParameterError, ToleranceError; RunError where nobody can go on
        """
        topology = self.topology or Single(workers=spec.workers, byzantine_workers=spec.byzantine)
        world, begun = World.of(spec), time.perf_counter()
        with threads_for(world.flat.d):
            return _History(self, topology, world, begun, watch).run()


class _History:
    """One training on the network, as it goes."""

    def __init__(
        self, how: OnNetwork, topology: Topology, world: World, begun: float, watch: Watch | None
    ) -> None:
        self.how, self.topology, self.world, self.begun, self.watch = how, topology, world, begun, watch
        self.spec, self.task = world.spec, task_of(world, topology)
        self.stream, self.first = Stream(world.spec.seed), world.flat.get()
        holders = [party for party in topology.groups[0].parties if self._honest(party)]
        self.holders, self.table, self.told = holders, Table(), 0
        self.network = Network(
            self._node, topology.n, link=how.link, events=how.events, stream=self.stream.at("network")
        )

    def run(self) -> Gathered:
        """Deliver messages until every honest party that is there has finished."""
        if not self.network.run(self._done):
            standing = {self.topology.name(party): node.step for party, node in self.network.nodes.items()}
            raise RunError(
                f"No message is on its way and training is not over; the parties stand at {standing}. "
                "More than the declared number of parties lie or have crashed."
            )
        final = torch.tensor(_theta(self.network.nodes[self.holders[0]]))
        there = [party for party in self.holders if party in self.network.nodes]
        nodes = {party: _theta(self.network.nodes[party]) for party in there}
        return Gathered(
            self.spec,
            self.table,
            final,
            time.perf_counter() - self.begun,
            {self.topology.name(party): self.world.accuracy(torch.tensor(v)) for party, v in nodes.items()},
            self._refused(),
            self.network.sent,
            self.network.time,
        )

    def _honest(self, party: int) -> bool:
        group, number = self.topology.role(party)
        learns = group.role != "server"
        return party not in self.how.faults and not (learns and self.world.lies(number))

    def _node(self, party: int) -> Node:
        node = self.topology.node(party, self.task)
        fault = self.how.faults.get(party)
        return node if fault is None else Liar(node, fault, self.stream)

    def _done(self) -> bool:
        self._observe()
        return all(node.finished for party, node in self.network.nodes.items() if self._honest(party))

    def _observe(self) -> None:
        """Add a row when the first holder has made a step."""
        node = self.network.nodes.get(self.holders[0])
        if node is None or node.step <= self.told:
            return
        self.told, spec, theta = node.step, self.spec, torch.tensor(_theta(node))
        losses = [
            learner.loss
            for other in self.network.nodes.values()
            if isinstance(learner := getattr(other, "learner", None), Trainee)
        ]
        row = {
            "step": float(node.step),
            "learning_rate": rate_at(spec.learning_rate, node.step - 1),
            "loss": sum(losses) / max(len(losses), 1),
            "distance": float((theta - self.first).norm()),
            "elapsed": self.network.time,
            "messages": float(self.network.sent),
        }
        if node.step == spec.steps or node.step % spec.evaluate_every == 0:
            row["accuracy"] = self.world.accuracy(theta)
        self.table.append(row)
        if self.watch is not None:
            self.watch(Progress(node.step, spec.steps, time.perf_counter() - self.begun, row))

    def _refused(self) -> Mapping[tuple[str, str, str], int]:
        counts: Counter[tuple[str, str, str]] = Counter()
        name = self.topology.name
        for party, node in self.network.nodes.items():
            for (peer, refusal), count in node.refused.items():
                counts[name(party), name(peer), refusal.value] += count
        return counts


def _theta(node: Node) -> Body:
    theta: Body = node.keeper.theta  # type: ignore[attr-defined]
    return theta
