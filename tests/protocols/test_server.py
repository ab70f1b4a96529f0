"""ByzSGD's servers: they skip nothing that others may need, and join when they have lost something."""

from __future__ import annotations

from typing import Any

import pytest
from protocols.parties import body, message, sent, task

from varangian.protocols import Alarm, Replicated, Single, Topic
from varangian.protocols.server import GATHER, GRADIENT, MODEL, Server

TOPOLOGY = Replicated(
    workers=4, byzantine_workers=1, servers=5, byzantine_servers=1, gather_every=2, window=2
)


def server(**changes: Any) -> Server:
    made = Replicated(**{**TOPOLOGY.__dict__, **changes}).node(0, task(steps=9))
    assert isinstance(made, Server)
    return made


def gradients(node: Server, step: int, workers: range = range(5, 8)) -> list[tuple[str, int]]:
    said = [one for worker in workers for one in node.receive(message(worker, Topic(step, GRADIENT), 1.0))]
    return [(one.topic.kind, one.topic.step) for one in sent(said)]


def test_a_quorum_makes_a_step() -> None:
    node = server()
    assert {one.topic for one in sent(node.start())} == {Topic(0, MODEL)}
    assert gradients(node, 0, range(5, 7)) == []
    assert set(gradients(node, 0, range(7, 8))) == {(MODEL, 1)}
    assert set(gradients(node, 1)) == {(GATHER, 2)}
    assert node.gathering
    for other in (1, 2):
        assert node.receive(message(other, Topic(2, GATHER), 5.0)) == []
    assert {one.topic for one in sent(node.receive(message(3, Topic(2, GATHER), 5.0)))} == {Topic(2, MODEL)}
    assert node.keeper.theta == body(5.0)


def test_a_flood_makes_no_server_join() -> None:
    """A flooding worker must not make a server skip to a gather that others have spoken at."""
    node = server()
    node.start()
    for step in range(40):
        node.receive(message(5, Topic(step, GRADIENT), 0.0))
    for other in (1, 2, 3, 4):
        node.receive(message(other, Topic(4, GATHER), 3.0))
    assert node.step == 0
    assert not node.lost


def test_who_lost_something_joins_at_a_gather() -> None:
    node = server()
    node.start()
    for step in range(2, 6):
        gradients(node, step)
    assert node.lost
    said = [one for other in (1, 2, 3, 4) for one in node.receive(message(other, Topic(6, GATHER), 3.0))]
    assert {one.topic for one in sent(said)} == {Topic(6, GATHER), Topic(6, MODEL)}
    assert node.step == 6
    assert not node.lost


def test_patience_is_for_those_who_are_there() -> None:
    node = server(patience=1.0)
    node.start()
    outputs = [
        one for worker in range(5, 8) for one in node.receive(message(worker, Topic(0, GRADIENT), 1.0))
    ]
    assert outputs == [Alarm(1.0, Topic(0, GRADIENT))]
    assert node.step == 0
    node.ring(Alarm(1.0, Topic(0, GRADIENT)))
    assert node.step == 1
    node.absent.add(8)
    gradients(node, 1)
    assert node.step == 2


@pytest.mark.parametrize("gathering", [False, True])
def test_a_restarted_server_says_what_it_said(gathering: bool) -> None:
    node = server()
    before = sent(node.start())
    for step in range(2 if gathering else 1):
        before = sent(
            [
                one
                for worker in range(5, 8)
                for one in node.receive(message(worker, Topic(step, GRADIENT), 1.0))
            ]
        )
    again = server()
    again.restore(node.state())
    after = sent(again.start())
    assert [(one.receiver, one.topic, one.body.tobytes()) for one in after] == [
        (one.receiver, one.topic, one.body.tobytes()) for one in before
    ]


def test_an_only_server_with_an_old_state_goes_on_where_its_workers_are() -> None:
    """They have kept their last words only, and would refuse an older model."""
    node = Single(workers=4, window=2).node(0, task(steps=20))
    assert isinstance(node, Server)
    node.restore(node.state())
    node.start()
    said = [one for worker in range(1, 5) for one in node.receive(message(worker, Topic(9, GRADIENT), 1.0))]
    assert {one.topic for one in sent(said)} == {Topic(10, MODEL)}
    assert node.step == 10


def test_a_restarted_server_repeats_its_word_at_the_gather() -> None:
    node = server()
    node.start()
    gradients(node, 0)
    gradients(node, 1)
    for other in (1, 2, 3):
        node.receive(message(other, Topic(2, GATHER), 5.0))
    again = server()
    again.restore(node.state())
    words = {one.topic: float(one.body[0]) for one in sent(again.start())}
    assert words == {Topic(2, GATHER): -0.4, Topic(2, MODEL): 5.0}
