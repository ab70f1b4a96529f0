"""Who is started again says the same once more, and never another thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import varangian as vg
from varangian.core.randomness import Stream
from varangian.engines.loop import Progress
from varangian.engines.multiparty.checkpoint import Checkpoint
from varangian.engines.multiparty.record import Record
from varangian.engines.network import Exponential, Link, Network
from varangian.engines.roles import task_of
from varangian.engines.world import World
from varangian.protocols import Decentralised, Message, Node, Output, Refusal, Replicated, Topology

SPEC = vg.Experiment(model="logistic", workers=4, steps=12, rule=vg.TrimmedMean(f=1), evaluate_every=6)
REPLICATED = Replicated(workers=4, byzantine_workers=1, gather_every=3)
PEERS = Decentralised(peers=4, byzantine=1, way="witness")
KILLED = (5, 9, 10, 24, 31, 45)
"""The calls after which a party is killed."""


class Forgetful:
    """A party that is killed now and then: once it has kept its checkpoint, before it says what is new."""

    network: Network

    def __init__(self, topology: Topology, party: int, world: World, folder: Path) -> None:
        self.made = lambda: topology.node(party, task_of(world, topology))
        self.world, self.checkpoint = world, Checkpoint.of(folder, str(party), "run")
        self.said: dict[tuple[int, Any], Any] = {}
        self.lives, self.calls, self.rows = 0, 0, [0.0]
        self._live()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def _live(self) -> None:
        self.node: Node = self.made()
        self.record = Record(self.node, self.world, self.checkpoint, 1, self._told)
        self.record.resume()
        self.lives += 1

    def _told(self, progress: Progress) -> None:
        self.rows = list(self.record.table["step"])

    def start(self) -> list[Output]:
        said = self.node.start()
        self.record.look()
        return self._heard(said)

    def receive(self, message: Message) -> list[Output]:
        said = self.node.receive(message)
        self.record.look()
        self.calls += 1
        if self.calls in KILLED:
            self._live()
            said = [*self.node.start()]
            self.record.look()
            for peer, node in self.network.nodes.items():
                said += self.node.again(peer)
                self.network._say(peer, node.again(self.node.party))
        return self._heard(said)

    def _heard(self, said: list[Output]) -> list[Output]:
        for message in said:
            if isinstance(message, Message):
                before = self.said.setdefault((message.receiver, message.topic), message.body)
                np.testing.assert_array_equal(before, message.body)
        return said


@pytest.mark.parametrize(
    ("topology", "killed"), [(REPLICATED, (1, 6)), (PEERS, (1,))], ids=["replicated", "by witness"]
)
def test_a_party_that_is_killed_again_and_again_never_contradicts_itself(
    topology: Topology, killed: tuple[int, ...], tmp_path: Path
) -> None:
    spec = SPEC if topology is REPLICATED else replace(SPEC, steps=4)
    world = World.of(spec)
    forgetful = [Forgetful(topology, party, world, tmp_path) for party in killed]
    known = dict(zip(killed, forgetful, strict=True))

    def made(party: int) -> Any:
        return known.get(party) or topology.node(party, task_of(world, topology))

    network = Network(made, topology.n, link=Link(Exponential()), stream=Stream(5))
    for party in forgetful:
        party.network = network
    assert network.run(lambda: all(node.finished for node in network.nodes.values()))
    assert all(party.lives > 3 for party in forgetful)
    assert forgetful[0].rows[-1] == spec.steps
    conflicts = [
        why for node in network.nodes.values() for _, why in node.refused if why is Refusal.CONFLICTING
    ]
    assert not conflicts
