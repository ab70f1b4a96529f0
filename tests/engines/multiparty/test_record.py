"""Who is started again says the same once more, and never another thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import varangian as vg
from varangian.core.randomness import Stream
from varangian.engines.loop import Progress
from varangian.engines.multiparty.checkpoint import Checkpoint
from varangian.engines.multiparty.record import Record
from varangian.engines.network import Exponential, Link, Network
from varangian.engines.roles import task_of
from varangian.engines.world import World
from varangian.protocols import Message, Node, Output, Refusal, Replicated

SPEC = vg.Experiment(model="logistic", workers=4, steps=12, rule=vg.TrimmedMean(f=1), evaluate_every=6)
TOPOLOGY = Replicated(workers=4, byzantine_workers=1, gather_every=3)
KILLED = (5, 9, 10, 24, 31, 45)
"""The calls after which a party is killed."""


class Forgetful:
    """A party that is killed now and then: once it has kept its checkpoint, before it says what is new."""

    network: Network

    def __init__(self, party: int, world: World, folder: Path) -> None:
        self.made = lambda: TOPOLOGY.node(party, task_of(world, TOPOLOGY))
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
        return self._heard(self.node.start())

    def receive(self, message: Message) -> list[Output]:
        said = self.node.receive(message)
        self.record.look()
        self.calls += 1
        if self.calls in KILLED:
            self._live()
            said = [*self.node.start()]
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


def test_a_party_that_is_killed_again_and_again_never_contradicts_itself(tmp_path: Path) -> None:
    world = World.of(SPEC)
    forgetful = [Forgetful(party, world, tmp_path) for party in (1, 6)]

    def made(party: int) -> Any:
        known = {1: forgetful[0], 6: forgetful[1]}
        return known.get(party) or TOPOLOGY.node(party, task_of(world, TOPOLOGY))

    network = Network(made, TOPOLOGY.n, link=Link(Exponential()), stream=Stream(5))
    for party in forgetful:
        party.network = network
    assert network.run(lambda: all(node.finished for node in network.nodes.values()))
    assert all(party.lives > 3 for party in forgetful)
    assert forgetful[0].rows[-1] == SPEC.steps
    conflicts = [
        why for node in network.nodes.values() for _, why in node.refused if why is Refusal.CONFLICTING
    ]
    assert not conflicts
