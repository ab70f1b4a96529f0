"""Peers go on without the slow, but not out of their reach."""

from __future__ import annotations

import numpy as np
import pytest
from protocols.parties import FORM, body, carry, message, sent, task

from varangian.protocols import Decentralised, Message, Node, Topic
from varangian.protocols.broadcast import ECHO, INIT, READY, digest
from varangian.protocols.peer import Peer, rounds_of


def peer(party: int, way: str = "witness", peers: int = 4, steps: int = 3) -> Peer:
    made = Decentralised(peers=peers, byzantine=1, way=way).node(party, task(steps=steps, goal=party))
    assert isinstance(made, Peer)
    return made


def test_rounds_are_the_logarithm() -> None:
    assert [rounds_of(step) for step in range(9)] == [int(np.ceil(np.log2(step + 1))) for step in range(9)]


def test_who_has_gone_on_still_says_ready() -> None:
    """f + 1 READYs on a step that is over: the slow need this peer's, or they wait for ever."""
    nodes: dict[int, Node] = {party: peer(party, steps=1) for party in range(3)}
    carry(nodes, [one for node in nodes.values() for one in node.start()])
    node = nodes[0]
    assert node.step == 1
    assert node.finished
    about, name = Topic(0, READY, 0, 3), np.frombuffer(digest(body(9)), np.uint8)
    said = [one for other in (1, 2) for one in node.receive(Message(other, 0, about, name))]
    assert {one.topic for one in sent(said)} == {about}
    late = sent(node.receive(message(3, Topic(0, INIT), 9.0)))
    assert {one.topic.kind for one in late} == {ECHO}


def test_a_restarted_peer_repeats_its_first_word() -> None:
    """It has stepped, and its momentum has moved, but its state is that of the beginning of the step."""
    node = peer(0, "diameter", 7)
    first = sent(node.start())
    node.proceed()
    again = peer(0, "diameter", 7)
    again.restore(node.state())
    assert [(one.topic, one.body.tobytes()) for one in sent(again.start())] == [
        (one.topic, one.body.tobytes()) for one in first
    ]


@pytest.mark.parametrize(("way", "peers"), [("diameter", 7), ("witness", 4)])
def test_a_restarted_peer_stands_by_its_words(way: str, peers: int) -> None:
    """It has spoken of later rounds, and meets others' vectors in another order now; it says nothing new."""
    nodes: dict[int, Node] = {party: peer(party, way, peers, steps=9) for party in range(peers)}
    started = {party: node.start() for party, node in nodes.items()}
    state, until = nodes[0].state(), Topic(2, "z")
    carry(nodes, [one for said in started.values() for one in said], lambda one: one.topic < until)
    once = {(one.receiver, one.topic): one.body.tobytes() for one in nodes[0].said()}
    assert max(topic.step for _, topic in once) == 3
    again = peer(0, way, peers, steps=9)
    again.restore(state)
    again.recall(nodes[0].said())
    said = again.start()
    for party in reversed(range(1, peers)):
        said += [one for word in nodes[party].again(0) for one in again.receive(word)]
    twice = {(one.receiver, one.topic): one.body.tobytes() for one in [*sent(said), *again.said()]}
    assert again.step == 3
    assert {about: twice[about] for about in once} == once


def test_a_finished_peer_says_nothing_more() -> None:
    nodes: dict[int, Node] = {party: peer(party, steps=1) for party in range(4)}
    carry(nodes, [one for node in nodes.values() for one in node.start()])
    again = peer(0, steps=1)
    again.restore(nodes[0].state())
    assert again.finished
    assert again.start() == []
    assert FORM.admits(again.keeper.theta)


def test_who_lost_something_joins_the_parameters() -> None:
    node = peer(0, "diameter", 7)
    node.restore({**node.state()})
    node.start()
    exchange = node.way.exchanges(node.group, rounds_of(2))
    for other in range(1, 7):
        node.receive(message(other, Topic(2, "value", exchange), 4.0))
    assert (node.step, node.round) == (2, exchange + 1)
    assert node.keeper.theta == body(4.0)
    assert not node.lost
