"""Reliable broadcast, message by message; its theorems are held to in the histories.

Agreement, integrity, validity and totality among n >= 3f + 1 parties (Bracha, 1987).
"""

from __future__ import annotations

import numpy as np
import pytest
from protocols.parties import FORM, body, carry, message, sent

from varangian.protocols import Broadcaster, Group, Message, Node, Topic, broadcast
from varangian.protocols.broadcast import ECHO, FEW, INIT, READY, digest

GROUP = Group("party", 4, 1)
KINDS = broadcast.kinds(GROUP, FORM)
LIAR = 3


def party(number: int, value: float | None = None) -> Broadcaster:
    return Broadcaster(number, KINDS, GROUP, None if value is None else body(value))


def ready(sender: int, receiver: int, origin: int, value: float) -> Message:
    about = Topic(0, READY, 0, origin)
    return Message(sender, receiver, about, np.frombuffer(digest(body(value)), np.uint8))


def test_everybody_takes_everybodys() -> None:
    nodes: dict[int, Node] = {number: party(number, float(number)) for number in range(4)}
    carry(nodes, [one for node in nodes.values() for one in node.start()])
    for node in nodes.values():
        assert isinstance(node, Broadcaster)
        assert node.finished
        assert node.delivered == {number: body(number) for number in range(4)}


@pytest.mark.parametrize(("sure", "alone"), [(2 * GROUP.f + 1, False), (GROUP.f + 1, True)])
def test_delivery_takes_two_f_plus_one(sure: int, alone: bool) -> None:
    """With f + 1 READYs, a liar can have one party deliver alone: totality is what 2f + 1 are for."""
    nodes = {number: party(number) for number in range(3)}
    for node in nodes.values():
        node.broadcast.sure = sure
    init, echo = Topic(0, INIT), Topic(0, ECHO, 0, LIAR)
    said = [message(LIAR, init, 9.0, 0), message(LIAR, init, 9.0, 1), message(LIAR, echo, 9.0, 0)]
    carry(dict(nodes), [*said, ready(LIAR, 0, LIAR, 9.0)])
    assert [bool(node.delivered) for node in nodes.values()] == [alone, False, False]


def test_two_values_of_a_liar_are_not_both_taken() -> None:
    nodes = {number: party(number) for number in range(3)}
    for receiver, lie in enumerate((1.0, 2.0, 1.0)):
        said = [message(LIAR, Topic(0, INIT), lie, receiver)]
        said += [message(LIAR, Topic(0, ECHO, 0, LIAR), lie, receiver), ready(LIAR, receiver, LIAR, lie)]
        carry(dict(nodes), said)
    taken = {node.delivered[LIAR].tobytes() for node in nodes.values() if node.delivered}
    assert len(taken) <= 1


def test_ready_follows_f_plus_one_readies() -> None:
    node = party(0)
    assert node.receive(ready(LIAR, 0, 1, 5.0)) == []
    said = sent(node.receive(ready(2, 0, 1, 5.0)))
    assert {one.topic.kind for one in said} == {READY}
    assert not node.delivered, "the value itself has not come"
    node.receive(message(2, Topic(0, ECHO, 0, 1), 5.0))
    assert node.delivered == {1: body(5.0)}


def test_a_flood_is_forgotten() -> None:
    """What a liar says of steps and origins that nobody else knows of takes a bounded room."""
    node = party(0)
    for step in range(40 * FEW):
        node.receive(message(LIAR, Topic(step, INIT), 0.0))
        node.receive(message(LIAR, Topic(step, ECHO, 0, 1), 0.0))
        node.receive(message(LIAR, Topic(step, READY, 0, 2), 0.0))
    assert len(node.broadcast._instances) <= 2 * FEW
    others = {number: party(number) for number in (1, 2)}
    carry({0: node, **others}, [one for one in party(1, 7.0).start() if one.receiver != 1])
    assert node.delivered == {1: body(7.0)}


def test_a_liars_broadcasts_are_bounded() -> None:
    """Honest parties finish any broadcast of a liar; of its values they keep the newest only."""
    nodes: dict[int, Node] = {number: party(number) for number in range(3)}
    for step in range(50):
        carry(nodes, [message(LIAR, Topic(step, INIT), float(step), number) for number in range(3)])
    node = nodes[0]
    assert isinstance(node, Broadcaster)
    kept = [topic.step for topic, values in node.broadcast.delivered.items() if LIAR in values]
    assert kept == [46, 47, 48, 49]
