"""One value per peer and topic, and nobody takes another's room."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.parties import FORM, body, message

from varangian.protocols import Kind, Mailbox, Message, Refusal, Topic
from varangian.protocols.message import GONE, NO_NUMBERS, NOTHING

KINDS = {
    "say": Kind(FORM, frozenset({0, 1, 2}), liars=1),
    "about": Kind(FORM, frozenset({0, 1, 2}), frozenset({0, 1, 2}), 1),
}


@pytest.fixture
def box() -> Mailbox:
    return Mailbox(KINDS, window=2)


def test_the_first_value_stays(box: Mailbox) -> None:
    topic = Topic(0, "say")
    assert box.put(message(1, topic, 1.0)) is None
    assert box.put(message(1, topic, 1.0)) is Refusal.REPEATED
    assert box.put(message(1, topic, 2.0)) is Refusal.CONFLICTING
    assert box.put(message(0, topic, 3.0)) is None
    assert list(box.on(topic).items()) == [(0, body(3.0)), (1, body(1.0))]


@pytest.mark.parametrize(
    ("sender", "topic", "refusal"),
    [
        (1, Topic(0, "other"), Refusal.UNKNOWN),
        (7, Topic(0, "say"), Refusal.STRANGER),
        (1, Topic(0, "say", subject=1), Refusal.STRANGER),
        (1, Topic(0, "about"), Refusal.STRANGER),
        (1, Topic(-1, "say"), Refusal.LATE),
        (1, Topic(1 << 80, "say", -(1 << 80)), None),
    ],
)
def test_what_is_refused_unread(box: Mailbox, sender: int, topic: Topic, refusal: Refusal | None) -> None:
    assert box.refusal(sender, topic) is refusal
    assert box.put(message(sender, topic, 0.0)) is refusal


def test_another_form_is_refused(box: Mailbox) -> None:
    for bad in (np.zeros(2), np.zeros(1, np.float32), np.zeros((1, 1))):
        assert box.put(Message(1, 0, Topic(0, "say"), bad)) is Refusal.MALFORMED
    assert box.put(message(1, Topic(0, "say"), np.nan)) is None
    assert box.put(message(1, Topic(0, "say"), np.nan)) is Refusal.REPEATED


def test_a_flood_takes_its_own_room_only(box: Mailbox) -> None:
    box.put(message(0, Topic(0, "say"), 1.0))
    box.put(message(0, Topic(0, "about", 0, 1), 1.0))
    for step in range(100):
        box.put(message(2, Topic(step, "say"), 2.0))
        box.put(message(2, Topic(step, "about", 0, 1), 2.0))
    assert box.has(Topic(0, "say"), 0)
    assert box.has(Topic(0, "about", 0, 1), 0)
    assert [topic.step for topic in box.topics("say")] == [0, 98, 99]
    assert box.evicted == 196
    assert box.put(message(2, Topic(3, "say"), 2.0)) is Refusal.OVERTAKEN


def test_a_gap_takes_more_than_may_lie(box: Mailbox) -> None:
    for step in range(9):
        box.put(message(2, Topic(step, "say"), 0.0))
        box.put(message(2, Topic(step, "about", 0, 0), 0.0))
        box.put(message(1, Topic(step, "about", 0, 2), 0.0))
    assert not box.gaps
    for step in range(3):
        box.put(message(0, Topic(step, "say"), 0.0))
    assert box.gaps
    box.forget(9)
    assert not box.gaps


def test_a_gap_lasts_as_long_as_it_matters(box: Mailbox) -> None:
    """Step 3 is gone of two of three: who stands there has a gap, who has come further has none."""
    for sender in (0, 1):
        for step in (3, 4, 5):
            box.put(message(sender, Topic(step, "say"), 0.0))
    for step, gaps in ((0, True), (3, True), (4, False)):
        box.forget(step)
        assert box.gaps is gaps


def test_who_has_forgotten_its_words_may_say_so() -> None:
    box = Mailbox({**KINDS, GONE: Kind(NO_NUMBERS, frozenset({0, 1, 2}), liars=1)})
    for sender in (0, 2):
        assert not box.gaps
        assert box.put(Message(sender, 1, Topic(3, GONE), NOTHING)) is None
    assert box.gaps
    box.forget(4)
    assert not box.gaps
    assert box.put(Message(1, 1, Topic(3, GONE), NOTHING)) is Refusal.LATE


def test_a_question_is_never_late_and_may_be_asked_again() -> None:
    box = Mailbox({"ask": Kind(NO_NUMBERS, frozenset({1}), kept=False)})
    box.forget(9)
    for step in (3, 3, 12):
        assert box.put(Message(1, 0, Topic(step, "ask"), NOTHING)) is None
    assert not box.topics("ask")
    assert box.put(Message(2, 0, Topic(9, "ask"), NOTHING)) is Refusal.STRANGER
    assert box.put(message(1, Topic(9, "ask"), 0.0)) is Refusal.MALFORMED


def test_no_gap_is_in_the_past(box: Mailbox) -> None:
    box.forget(5, past=2)
    for sender in range(3):
        for step in (3, 4, 5):
            assert box.put(message(sender, Topic(step, "say"), 0.0)) is None
        assert box.put(message(sender, Topic(2, "say"), 0.0)) is Refusal.LATE
    assert box.evicted == 3
    assert not box.gaps


moves = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 2), st.integers(0, 1), st.booleans()),
    max_size=60,
)


@given(moves)
def test_no_topic_is_taken_twice(moves: list[tuple[int, int, int, int, bool]]) -> None:
    """Whatever a peer sends, and whatever is forgotten meanwhile, no second value is taken of it."""
    box, taken = Mailbox(KINDS, window=2), Counter[tuple[int, Topic]]()
    for sender, step, round, number, forgets in moves:
        topic = Topic(step, "say", round)
        if forgets:
            box.forget(step, past=round)
        elif box.put(message(sender, topic, float(number))) is None:
            taken[sender, topic] += 1
    assert not taken or max(taken.values()) == 1
    assert sum(len(box.on(topic)) for topic in box.topics("say")) <= 6
