"""The crash-tolerant baseline: whoever is further is followed, and no leader's word is lost with it."""

from __future__ import annotations

from typing import Any

import pytest
from protocols.parties import body, message, sent, task

from varangian.protocols import Alarm, CrashTolerant, Message, Topic
from varangian.protocols.primary import LIVES, Replica
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


def restarted(party: int, step: int, reign: int, theta: float) -> Replica:
    node = replica(party)
    node.life = 1
    node.restore(
        {"step": step, "finished": False, "theta": body(theta), "reign": reign, "keeper": node.keeper.state()}
    )
    return node


def gradients(node: Replica, steps: range) -> None:
    for step in steps:
        for worker in (3, 4, 5):
            node.receive(message(worker, Topic(step, GRADIENT), 1.0))


def test_gradients_of_a_later_step_are_better_than_none() -> None:
    node = restarted(0, 2, 0, 5.0)
    node.start()
    gradients(node, range(4, 8))
    assert node.step == 8


def test_the_first_model_does_not_go_on_with_gradients_of_a_later_step() -> None:
    """All would follow it, as it would be further, and what had been learned would be gone."""
    node = replica(0)
    node.start()
    gradients(node, range(4, 8))
    assert node.mailbox.gaps
    assert node.step == 0
    node.receive(message(1, Topic(6, MODEL, 1), 4.0))
    assert (node.step, node.keeper.theta.tolist()) == (6, [4.0])


def test_a_worker_that_was_away_hears_a_dead_leaders_model() -> None:
    node = replica(1)
    node.start()
    node.receive(message(0, Topic(9, MODEL), 4.0))
    assert node.finished
    assert topics(node.again(3)) == {Topic(9, MODEL, 0)}


def test_a_server_that_was_away_hears_the_model_from_who_follows_or_has_finished() -> None:
    node = replica(1)
    node.start()
    assert node.again(0) == []
    node.receive(message(0, Topic(9, MODEL), 4.0))
    (said,) = node.again(0)
    reborn = replica(0)
    reborn.life = 1
    reborn.start()
    assert isinstance(said, Message)
    told = sent(reborn.receive(said))
    assert reborn.finished
    assert reborn.keeper.theta.tolist() == [4.0]
    assert {one.receiver for one in told} == {1, 2, 3, 4, 5}, (
        "what it has said before, others may have missed"
    )
    assert topics(told) == {Topic(9, MODEL)}


@pytest.mark.parametrize("keeps", [True, False])
def test_no_life_of_a_leader_leads_in_the_reign_of_another(keeps: bool) -> None:
    lives = []
    for life in range(3):
        node = restarted(0, 2, 0, 5.0) if keeps else replica(0)
        node.life = life
        (topic,) = topics(node.start())
        assert node.leads
        lives.append(topic.round)
    assert len(set(lives)) == 3
    assert {reign % 3 for reign in lives} == {0}
    (alarm,) = node.receive(message(1, Topic(5, MODEL, max(lives) + 1), 4.0))
    assert isinstance(alarm, Alarm)
    (topic,) = topics(node.ring(alarm))
    assert topic.round > max(lives) + 1
    assert topic.round % (3 * LIVES) == 3 * 2, "a second reign of the same life"


def test_who_follows_another_life_of_a_leader_tells_it() -> None:
    node = replica(1)
    node.start()
    node.receive(message(0, Topic(5, MODEL, 0), 4.0))
    (said,) = sent(node.receive(message(0, Topic(0, MODEL, 3), 0.0)))
    assert (said.receiver, said.topic) == (0, Topic(5, MODEL, 0))
    assert node.receive(message(2, Topic(0, MODEL, 5), 0.0)) == [], "the leader of step 5 has told it"
    (said,) = sent(node.receive(message(0, Topic(6, MODEL, 3), 0.0)))
    assert (said.receiver, said.topic) == (0, Topic(6, MODEL, 3))


def test_what_a_leader_that_is_gone_has_said_is_passed_on() -> None:
    node = replica(1)
    node.start()
    node.absent.add(0)
    told = sent(node.receive(message(0, Topic(5, MODEL, 0), 4.0)))
    assert {one.receiver for one in told} == {0, 2, 3, 4, 5}
    assert node.receive(message(0, Topic(5, MODEL, 0), 4.0)) == []
