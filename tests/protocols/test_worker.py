"""Workers answer every step in turn, unless something they were told is lost."""

from __future__ import annotations

from protocols.parties import message, sent, task

from varangian.protocols import Node, Replicated, Topic
from varangian.protocols.server import GRADIENT, MODEL

TOPOLOGY = Replicated(workers=4, byzantine_workers=1, servers=5, byzantine_servers=1, window=2)


def worker() -> Node:
    return TOPOLOGY.node(5, task(steps=9))


def models(node: Node, step: int, servers: range = range(4), number: float = 2.0) -> list[int]:
    said = [one for server in servers for one in node.receive(message(server, Topic(step, MODEL), number))]
    assert {one.topic.kind for one in sent(said)} <= {GRADIENT}
    return sorted({one.topic.step for one in sent(said)})


def test_the_middle_is_answered() -> None:
    node = worker()
    assert node.start() == []
    assert models(node, 0, range(3)) == []
    said = sent(node.receive(message(4, Topic(0, MODEL), 1e9)))
    assert [one.receiver for one in said] == list(range(5))
    assert said[0].body[0] == 2.0 - 1.0, "theta - goal at the median of 2, 2, 2 and a lie"


def test_a_later_quorum_is_not_skipped_to() -> None:
    """A flooding server must not make a worker leave a step that slow servers still wait on."""
    node = worker()
    for step in range(50):
        node.receive(message(4, Topic(step, MODEL), 0.0))
    assert models(node, 1) == []
    assert models(node, 0) == [0, 1]


def test_what_is_lost_is_skipped() -> None:
    node = worker()
    for step in (3, 4, 5):
        models(node, step, range(3))
    assert node.lost
    assert models(node, 5, range(3, 4)) == [5]
    assert not node.lost


def test_the_last_model_is_the_end() -> None:
    node = worker()
    node.restore({"step": 9, "finished": False, "learner": {"memory": 0.0}})
    assert models(node, 9) == []
    assert node.finished


def test_a_restarted_worker_repeats_its_last_gradient() -> None:
    """The servers may have been away when it came, and it has forgotten what it said."""
    node = worker()
    models(node, 0)
    again = worker()
    again.restore(node.state())
    said = sent(again.start())
    assert [(one.receiver, one.topic) for one in said] == [(k, Topic(0, GRADIENT)) for k in range(5)]
    assert said[0].body[0] == 1.0
