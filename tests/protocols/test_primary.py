"""The crash-tolerant baseline: whoever is further is followed, and no leader's word is lost with it."""

from __future__ import annotations

from typing import Any

from protocols.parties import message, sent, task

from varangian.protocols import Alarm, CrashTolerant, Topic
from varangian.protocols.primary import Replica
from varangian.protocols.server import GRADIENT, MODEL

TOPOLOGY = CrashTolerant(workers=3, servers=3, byzantine_servers=2, window=2)


def replica(party: int) -> Replica:
    made = TOPOLOGY.node(party, task(steps=9))
    assert isinstance(made, Replica)
    return made


def topics(outputs: Any) -> set[Topic]:
    return {one.topic for one in sent(outputs)}


def test_the_next_in_line_takes_over() -> None:
    node = replica(1)
    (alarm,) = node.start()
    assert isinstance(alarm, Alarm)
    node.receive(message(0, Topic(1, MODEL), 4.0))
    assert node.ring(alarm) == [], "the leader has been heard of since"
    (alarm,) = node.receive(message(0, Topic(2, MODEL), 5.0))
    assert isinstance(alarm, Alarm)
    assert topics(node.ring(alarm)) == {Topic(2, MODEL, 1)}
    assert node.leads


def test_a_step_counts_more_than_a_reign() -> None:
    """Who took over too early follows the old leader again, which is further; workers would not go back."""
    node = replica(1)
    (alarm,) = node.start()
    assert isinstance(alarm, Alarm)
    node.ring(alarm)
    assert node.reign == 1
    node.receive(message(0, Topic(4, MODEL), 3.0))
    assert (node.step, node.reign, node.leads) == (4, 0, False)
    assert node.receive(message(2, Topic(4, MODEL, 2), 6.0)) != []
    assert node.reign == 2
    assert node.receive(message(0, Topic(3, MODEL, 3), 6.0)) == []


def test_gradients_of_a_later_step_are_better_than_none() -> None:
    node = replica(0)
    node.start()
    for step in range(4, 8):
        for worker in (3, 4, 5):
            node.receive(message(worker, Topic(step, GRADIENT), 1.0))
    assert node.step == 8


def test_a_worker_that_was_away_hears_a_dead_leaders_model() -> None:
    node = replica(1)
    node.start()
    node.receive(message(0, Topic(9, MODEL), 4.0))
    assert node.finished
    assert topics(node.again(3)) == {Topic(9, MODEL, 0)}
    assert node.again(0) == []
