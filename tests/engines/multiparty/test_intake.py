"""Putting chunks together, without a wire: whatever comes, one row a peer, and a reason for each refusal."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varangian.core.randomness import Stream
from varangian.engines.multiparty.inbox import Inbox
from varangian.engines.multiparty.intake import Arrived, Intake, Rows
from varangian.engines.multiparty.limits import Limits
from varangian.engines.multiparty.outbox import Outbox
from varangian.engines.multiparty.tally import Breach, Tally
from varangian.engines.multiparty.wire import GarbageError, Head, Schema
from varangian.errors import ParameterError
from varangian.protocols import Body, Form, Kind, Mailbox, Message, Refusal, Topic
from varangian.protocols.mailbox import WINDOW

KINDS = {
    "gradient": Kind(Form(np.dtype("float32"), 100), frozenset({1})),
    "model": Kind(Form(np.dtype("float32"), 100), frozenset({0, 1})),
    "ask": Kind(Form(np.dtype("uint8"), 0), frozenset({1})),
}
LIMITS = Limits(chunk_bytes=64, piece_bytes=32)
PARTIAL = Limits(chunk_bytes=64, piece_bytes=32, partial=True)
TOPIC = Topic(3, "gradient")
BODY = np.arange(100, dtype=np.float32)


def taking(limits: Limits = LIMITS, mailbox: Mailbox | None = None) -> Intake:
    box = mailbox or Mailbox(KINDS)
    return Intake(Schema(KINDS, limits), lambda topic: box.refusal(1, topic), Tally())


def said(limits: Limits = LIMITS, topic: Topic = TOPIC, body: Body = BODY, proof: bytes = b"") -> list[bytes]:
    return list(Schema(KINDS, limits).messages(topic, body, proof, Stream(1)))


def taken(intake: Intake, messages: list[bytes]) -> list[Arrived]:
    return [arrived for message in messages for arrived in intake.take(message)]


@pytest.mark.parametrize("limits", [LIMITS, PARTIAL, Limits()])
@pytest.mark.parametrize(
    ("topic", "body"),
    [(TOPIC, BODY), (Topic(2**62, "model", 7, -1), BODY), (Topic(0, "ask"), np.zeros(0, np.uint8))],
)
def test_a_value_arrives_as_it_was_said(limits: Limits, topic: Topic, body: Body) -> None:
    (arrived,) = taken(taking(limits), said(limits, topic, body, b"proof"))
    assert arrived.topic == topic
    assert arrived.proof == b"proof"
    np.testing.assert_array_equal(arrived.body, body)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (Head(TOPIC, 10 << 30), Refusal.MALFORMED),
        (Head(TOPIC, 396), Refusal.MALFORMED),
        (Head(Topic(3, "model", 0, 2), 400), Refusal.STRANGER),
        (Head(Topic(3, "junk"), 400), Refusal.UNKNOWN),
        (Head(Topic(-1, "gradient"), 400), Refusal.LATE),
    ],
)
def test_refused_by_the_header_and_counted_once(head: Head, reason: Refusal) -> None:
    intake = taking()
    prefix = Schema(KINDS, LIMITS).prefix(head)
    assert not taken(intake, [prefix + bytes([n, 0, 0, 0]) + bytes(64) for n in range(5)])
    assert intake.tally.refused == {reason: 1}
    assert intake.unfinished is None
    assert len(taken(intake, said())) == 1


def test_what_is_there_already_is_not_read_again() -> None:
    box = Mailbox(KINDS)
    box.put(Message(1, 0, TOPIC, BODY))
    intake = taking(mailbox=box)
    assert not taken(intake, said())
    assert intake.tally.refused == {Refusal.REPEATED: 1}


@pytest.mark.parametrize("spoil", [lambda m: m[:-1], lambda m: m + b"x", lambda m: m[:20], lambda m: b""])
def test_garbage_ends_a_value(spoil: object) -> None:
    intake, messages = taking(), said()
    assert callable(spoil)
    assert not taken(intake, [messages[0], spoil(messages[1]), *messages[2:]])
    assert intake.tally.refused[Breach.GARBAGE] == 1
    assert len(taken(intake, said(topic=Topic(4, "gradient")))) == 1


def test_a_chunk_counts_once() -> None:
    intake, messages = taking(), said()
    assert not taken(intake, [messages[0]] * len(messages))
    assert intake.tally.refused[Breach.GARBAGE] == 1


def test_what_is_cut_short_arrives_with_nan_where_that_may_be() -> None:
    intake = taking(PARTIAL)
    pieces = said(PARTIAL)
    assert not taken(intake, pieces[:5])
    newer, whole = taken(intake, said(PARTIAL, Topic(4, "gradient"), -BODY))
    lost = np.isnan(newer.body)
    assert lost.sum() == 100 - 5 * 8
    np.testing.assert_array_equal(newer.body[~lost], BODY[~lost])
    np.testing.assert_array_equal(whole.body, -BODY)


def test_what_all_must_be_told_alike_arrives_whole_or_not_at_all() -> None:
    intake = taking(PARTIAL)
    assert not taken(intake, said(PARTIAL, Topic(3, "model"))[:3])
    assert not intake.expire()
    assert intake.tally.refused == {Breach.UNFINISHED: 1}


def test_after_the_deadline_the_rest_is_forgotten() -> None:
    intake, pieces = taking(PARTIAL), said(PARTIAL)
    assert not taken(intake, pieces[:5])
    assert len(intake.expire()) == 1
    assert not taken(intake, pieces[5:])
    assert not intake.tally.refused


@given(st.lists(st.binary(max_size=120), max_size=30))
def test_any_bytes_are_survived(messages: list[bytes]) -> None:
    intake = taking()
    taken(intake, messages)
    assert len(taken(intake, said(topic=Topic(9, "gradient")))) == 1


@given(st.data())
def test_any_mixture_of_chunks_is_survived(data: st.DataObject) -> None:
    topics = [TOPIC, Topic(4, "gradient"), Topic(3, "model")]
    chunks = [chunk for topic in topics for chunk in said(PARTIAL, topic)]
    intake = taking(PARTIAL)
    for arrived in taken(intake, data.draw(st.lists(st.sampled_from(chunks), max_size=80))):
        kept = ~np.isnan(arrived.body)
        np.testing.assert_array_equal(arrived.body[kept], BODY[kept])


def test_a_row_is_used_again_once_nobody_holds_it() -> None:
    rows = Rows(Form(np.dtype("float32"), 10), 2)
    first = rows.get()
    part, place = first[3:5], first.ctypes.data
    del first
    second = rows.get()
    assert second.ctypes.data != place, "A view of the first is still held."
    del part
    assert rows.get().ctypes.data == place
    assert sys.getrefcount(second) <= 3


def test_rows_do_not_grow_with_what_is_sent() -> None:
    box = Mailbox(KINDS)
    intake = taking(mailbox=box)
    places = set()
    for step in range(50):
        for arrived in taken(intake, said(topic=Topic(step, "gradient"))):
            box.put(Message(1, 0, arrived.topic, arrived.body))
            places.add(arrived.body.ctypes.data)
        box.forget(step)
    assert len(places) <= 4


def test_schemas_differ_by_what_matters() -> None:
    prints = {
        Schema(KINDS, LIMITS, "a").fingerprint,
        Schema(KINDS, LIMITS, "b").fingerprint,
        Schema(KINDS, PARTIAL, "a").fingerprint,
        Schema({"gradient": KINDS["gradient"]}, LIMITS, "a").fingerprint,
    }
    assert len(prints) == 4
    assert Schema(KINDS, LIMITS).fingerprint == Schema(dict(reversed(KINDS.items())), LIMITS).fingerprint


def test_a_head_without_a_chunk_is_garbage() -> None:
    schema = Schema(KINDS, LIMITS)
    with pytest.raises(GarbageError):
        schema.parse(schema.prefix(Head(TOPIC, 400)))


@pytest.mark.parametrize("bad", [{"chunk_bytes": 0}, {"piece_bytes": 10}, {"frame_seconds": -1.0}])
def test_limits_that_limit_nothing(bad: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        Limits(**bad)  # type: ignore[arg-type]


def test_who_sends_much_waits_behind_itself() -> None:
    async def scene() -> list[list[int]]:
        inbox = Inbox([1, 2, 3], most=4, window=4)
        for step in range(4):
            await inbox.put(Message(1, 0, Topic(step, "gradient"), BODY))
        waits = asyncio.ensure_future(inbox.put(Message(1, 0, Topic(4, "gradient"), BODY)))
        await inbox.put(Message(3, 0, TOPIC, BODY))
        await asyncio.sleep(0)
        assert not waits.done()
        turns = [await inbox.turn(), await inbox.turn()]
        await waits
        return [[one.sender for one in turn if isinstance(one, Message)] for turn in turns]

    assert asyncio.run(scene()) == [[1, 3], [1]]


@pytest.mark.parametrize("late", range(12))
def test_what_is_sent_once_makes_room_for_what_is_newer_and_the_node_knows(late: int) -> None:
    """However many come while the node is at work, it has the newest, or knows that one it needs is gone."""

    async def scene() -> list[bool]:
        inbox = Inbox([1], most=1, window=WINDOW)
        roomy = [inbox.offer(Message(1, 0, Topic(step, "gradient"), BODY)) for step in range(late)]
        for _ in range(min(late, WINDOW + 1)):
            (message,) = await inbox.turn()
            assert isinstance(message, Message)
            assert mailbox.put(message) is None
        return roomy

    mailbox = Mailbox(KINDS)
    roomy = asyncio.run(scene())
    assert roomy == [step <= WINDOW for step in range(late)]
    there = {step for step in range(late) if mailbox.has(Topic(step, "gradient"), 1)}
    assert there == set(range(max(0, late - WINDOW), late))
    assert mailbox.gaps == (late > WINDOW)


def test_a_slow_reader_loses_the_oldest_of_a_kind() -> None:
    async def scene() -> list[Topic]:
        outbox = Outbox(3)
        for topic in (Topic(0, "model"), Topic(0, "gradient"), Topic(1, "gradient"), Topic(2, "gradient")):
            outbox.put(Message(0, 1, topic, BODY))
        assert outbox.behind
        left = [await outbox.get() for _ in range(3)]
        return [one.topic for one in left if isinstance(one, Message)]

    assert asyncio.run(scene()) == [Topic(0, "model"), Topic(1, "gradient"), Topic(2, "gradient")]


def test_what_waits_already_is_not_added() -> None:
    async def scene() -> list[int]:
        outbox, found = Outbox(9), []
        for body in (BODY, BODY, BODY + 1):
            outbox.put(Message(0, 1, TOPIC, body))
        while len(outbox):
            one = await outbox.get()
            assert isinstance(one, Message)
            found.append(int(one.body[0] - BODY[0]))
        return found

    assert asyncio.run(scene()) == [0, 1]
