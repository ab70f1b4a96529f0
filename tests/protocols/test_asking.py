"""Synchronous ByzSGD: one server is asked, and not believed without a test."""

from __future__ import annotations

import numpy as np
from protocols.parties import body, message, sent, task

from varangian.protocols import Alarm, Message, Synchronous, Topic
from varangian.protocols.answering import ASK, AnsweringServer
from varangian.protocols.asking import AskingWorker
from varangian.protocols.server import GRADIENT, MODEL

TOPOLOGY = Synchronous(
    workers=4, byzantine_workers=1, servers=5, byzantine_servers=1, gather_every=10, window=3, patience=1.0
)


def worker() -> AskingWorker:
    made = TOPOLOGY.node(5, task(steps=20))
    assert isinstance(made, AskingWorker)
    return made


def server(window: int = 3) -> AnsweringServer:
    made = Synchronous(**{**TOPOLOGY.__dict__, "window": window, "patience": 0.0}).node(0, task(steps=9))
    assert isinstance(made, AnsweringServer)
    return made


def asked(outputs: object) -> list[tuple[int, int]]:
    assert isinstance(outputs, list)
    return [(one.receiver, one.topic.step) for one in sent(outputs) if one.topic.kind == ASK]


def begun() -> AskingWorker:
    """Return a worker that has its first model, and asks server 1 for the next."""
    node = worker()
    assert asked(node.start()) == [(k, 0) for k in range(5)]
    said = [one for k in range(4) for one in node.receive(message(k, Topic(0, MODEL), 0.0))]
    assert asked(said) == [(1, 1)]
    assert {one.receiver for one in sent(said) if one.topic.kind == GRADIENT} == set(range(5))
    return node


def test_a_model_as_expected_is_believed() -> None:
    node = begun()
    said = node.receive(message(1, Topic(1, MODEL), 0.2))
    assert asked(said) == [(2, 2)]
    assert node.filtered == 0


def test_a_lie_is_rejected_and_the_next_server_asked() -> None:
    node = begun()
    assert asked(node.receive(message(1, Topic(1, MODEL), 1e6))) == [(2, 1)]
    assert asked(node.receive(message(2, Topic(1, MODEL), np.nan))) == [(3, 1)]
    assert node.filtered == 2
    assert asked(node.receive(message(3, Topic(1, MODEL), 0.2))) == [(2, 2)]


def test_where_nobody_is_believed_the_middle_is() -> None:
    node = begun()
    said = [one for k in (1, 2, 3, 4, 0) for one in node.receive(message(k, Topic(1, MODEL), 1e6))]
    assert node.step == 2
    assert node.filtered == 4
    assert (2, 2) in asked(said)


def test_who_keeps_silent_is_passed_over() -> None:
    node = begun()
    assert asked(node.ring(Alarm(1.0, Topic(1, ASK)))) == [(2, 1)]
    assert node.ring(Alarm(1.0, Topic(0, ASK))) == []


def test_one_servers_word_skips_no_step() -> None:
    node = begun()
    assert node.receive(message(1, Topic(9, MODEL), 0.2)) == []
    assert node.step == 1
    said = node.receive(message(2, Topic(8, MODEL), 0.2))
    assert node.step == 8, "more servers than may lie have forgotten step 1"
    assert asked(said) == [(k, 8) for k in (3, 4, 0, 1, 2)]


def ask(sender: int, step: int) -> Message:
    return Message(sender, 0, Topic(step, ASK), np.zeros(0, np.uint8))


def steps(node: AnsweringServer, until: int) -> None:
    for step in range(until):
        for one in (5, 6, 7):
            node.receive(message(one, Topic(step, GRADIENT), 1.0))


def test_a_question_is_answered_once_its_step_is_there() -> None:
    node = server()
    assert node.start() == []
    assert [one.topic for one in sent(node.receive(ask(5, 0)))] == [Topic(0, MODEL)]
    assert node.receive(ask(5, 1)) == []
    said = [one for k in (5, 6, 7) for one in node.receive(message(k, Topic(0, GRADIENT), 1.0))]
    assert [(one.receiver, one.topic) for one in sent(said)] == [(5, Topic(1, MODEL))]


def test_old_models_are_told_as_long_as_they_are_kept() -> None:
    node = server()
    node.start()
    steps(node, 5)
    told = {step: sent(node.receive(ask(5, step)))[0] for step in range(6)}
    assert {step: one.topic.step for step, one in told.items()} == {0: 5, 1: 5, 2: 5, 3: 3, 4: 4, 5: 5}
    np.testing.assert_allclose(told[3].body, body(-0.6))


def test_a_server_goes_on_though_nobody_asks() -> None:
    """Its gradients may all be there already: nothing more would wake it."""
    node = server()
    node.start()
    for step in (2, 1, 0):
        for one in (5, 6, 7):
            node.receive(message(one, Topic(step, GRADIENT), 1.0))
    assert node.step == 3
