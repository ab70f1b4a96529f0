"""What all nodes have in common: what they say, say again, and count."""

from __future__ import annotations

from dataclasses import replace

from protocols.parties import FORM, body, message

from varangian.protocols import Kind, Node, Output, Refusal, Topic
from varangian.protocols.message import GONE, NO_NUMBERS

TOPIC = Topic(0, "say")
KIND = Kind(FORM, frozenset(range(4)), liars=1)
SILENT = Kind(NO_NUMBERS, frozenset(range(4)), liars=1)


class Quiet(Node):
    """A node that says nothing of its own."""

    def start(self) -> list[Output]:
        return []

    def proceed(self) -> list[Output]:
        return []


def node(window: int = 2) -> Quiet:
    return Quiet(0, {"say": KIND}, window)


def test_what_is_said_is_said_again() -> None:
    one = node()
    for step in range(3):
        said = one.tell([0, 1, 2], Topic(step, "say"), body(step))
        assert [message.receiver for message in said] == [1, 2]
        assert one.mailbox.has(Topic(step, "say"), 0)
    assert [message.topic.step for message in one.again(1)] == [1, 2]
    assert one.again(3) == []


def test_what_is_gone_is_told_to_who_asks() -> None:
    """Who has been told more than is kept for it hears that too, of all that is about the speaker itself."""
    one = Quiet(0, {"say": KIND, "about": replace(KIND, subjects=frozenset({7})), GONE: SILENT}, 2)
    for step in range(2):
        one.tell([1], Topic(step, "say"), body(step))
    assert GONE not in {word.topic.kind for word in one.again(1)}
    for step in range(2, 4):
        said = one.tell([1], Topic(step, "say"), body(step))
        assert [word.topic.kind for word in said] == ["say"], "who listens need not know"
    assert [word.topic for word in one.again(1) if word.topic.kind == GONE] == [Topic(1, GONE)]
    assert one.again(2) == []
    for step in range(99):
        one.tell([1], Topic(step, "about", 0, 7), body(step))
    restored = Quiet(0, one.mailbox.kinds, 2)
    restored.recall(one.said())
    assert restored.again(1) == one.again(1)
    assert [word.topic for word in restored.again(1) if word.topic.kind == GONE] == [Topic(1, GONE)]


def test_refusals_are_counted() -> None:
    one = node()
    for number in (1.0, 1.0, 2.0):
        one.receive(message(2, TOPIC, number))
    assert one.refused == {(2, Refusal.REPEATED): 1, (2, Refusal.CONFLICTING): 1}


def test_a_liar_cannot_make_a_node_feel_lost() -> None:
    one = node()
    for step in range(50):
        one.receive(message(3, Topic(step, "say"), 0.0))
    assert not one.lost
    for step in range(50):
        one.receive(message(2, Topic(step, "say"), 0.0))
    assert one.lost
    one.caught_up()
    assert one.lost, "what is gone is of this step"
    one.forget(50)
    assert not one.lost


def test_who_was_restored_is_lost() -> None:
    one = node()
    one.restore({"step": 3, "finished": False})
    assert one.lost
    assert one.step == 3
    assert one.mailbox.put(message(1, TOPIC, 0.0)) is Refusal.LATE
    assert one.state() == {"step": 3, "finished": False}
