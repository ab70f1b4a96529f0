"""Pieces lost, repeated, reordered, late or invented: what a value is made of, and what it is not."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varangian.core.randomness import Stream
from varangian.engines.multiparty.datagrams import PIECE, Arrived, Assembly, Waste, Wire
from varangian.protocols import Form, Kind, Refusal, Topic

EACH = PIECE // 4
LENGTH = 5 * EACH + 7
KINDS = {
    "gradient": Kind(Form(np.dtype("float32"), LENGTH), frozenset({1})),
    "model": Kind(Form(np.dtype("float64"), 3), frozenset({1})),
}
WIRE = Wire(KINDS)


def value(step: int) -> np.ndarray:
    return np.arange(LENGTH, dtype=np.float32) + 1000 * step


def topic(step: int) -> Topic:
    return Topic(step, "gradient")


def cut(step: int) -> list[bytes]:
    return list(WIRE.cut(topic(step), value(step), Stream(1)))


def assembly(refusal: Refusal | None = None) -> Assembly:
    return Assembly(WIRE, lambda _: refusal, seconds=2.0)


def check(arrived: Arrived, lost: int) -> None:
    """Every number is the one that was sent in this very value, or missing."""
    truth = value(arrived.topic.step)
    there = ~np.isnan(arrived.body)
    assert np.array_equal(arrived.body[there], truth[there])
    assert arrived.missing == lost
    assert (~there).sum() in ((lost * EACH, (lost - 1) * EACH + 7) if lost else (0,))


def test_a_whole_value_is_closed_at_once() -> None:
    one = assembly()
    found = [arrived for datagram in cut(3) for arrived in one.take(datagram, 0.0)]
    assert len(found) == 1
    check(found[0], 0)
    assert not one.wasted


def test_the_order_is_random_and_the_same_every_time() -> None:
    assert cut(3) == cut(3)
    numbers = [WIRE.parse(datagram)[1] for datagram in cut(3)]  # type: ignore[index]
    assert sorted(numbers) == list(range(6))
    assert numbers != sorted(numbers)
    assert [WIRE.parse(datagram)[1] for datagram in cut(4)] != numbers  # type: ignore[index]


def test_what_did_not_come_is_missing_at_the_deadline() -> None:
    one = assembly()
    for datagram in cut(3)[:4]:
        assert not one.take(datagram, 10.0)
    assert one.next_deadline == 12.0
    assert not one.expire(11.9)
    (arrived,) = one.expire(12.0)
    check(arrived, 2)
    assert not one.take(cut(3)[4], 12.1)
    assert one.wasted == {Waste.LATE: 1}
    check(arrived, 2)


def test_the_end_closes_only_its_own_value() -> None:
    one = assembly()
    one.take(cut(3)[0], 0.0)
    assert not one.ended(topic(2))
    (arrived,) = one.ended(topic(3))
    check(arrived, 5)
    assert not one.ended(topic(3))
    assert one.next_deadline is None


def test_the_end_of_a_value_of_which_nothing_came_is_a_value_that_is_missing() -> None:
    one = assembly()
    one.take(cut(3)[0], 0.0)
    older, newer = one.ended(topic(4))
    check(older, 5)
    assert newer.topic == topic(4)
    assert newer.missing == 6
    assert np.isnan(newer.body).all()
    assert not one.take(cut(4)[0], 0.1)
    assert not assembly(Refusal.LATE).ended(topic(3))


def test_a_late_piece_of_an_older_value_never_lands_in_a_newer_one() -> None:
    one, older, newer = assembly(), cut(3), cut(4)
    one.take(older[0], 0.0)
    (closed,) = one.take(newer[0], 0.1)
    check(closed, 5)
    for datagram in older[1:]:
        assert not one.take(datagram, 0.2)
    (arrived,) = [made for datagram in newer[1:] for made in one.take(datagram, 0.3)]
    check(arrived, 0)
    assert one.wasted == {Waste.LATE: 5}


@given(st.data())
def test_any_loss_repetition_and_order(data: st.DataObject) -> None:
    """Whatever the network does, each value is closed at most once and holds nothing of another."""
    flying = [datagram for step in range(3) for datagram in cut(step)]
    chosen = data.draw(st.lists(st.sampled_from(range(len(flying))), max_size=40))
    one = assembly()
    found = [arrived for place in chosen for arrived in one.take(flying[place], 0.0)] + one.expire(9.0)
    steps = [arrived.topic.step for arrived in found]
    assert steps == sorted(set(steps))
    for arrived in found:
        came = {place for place in chosen if place // 6 == arrived.topic.step}
        assert arrived.missing >= 6 - len(came)
        check(arrived, arrived.missing)


def test_what_is_refused_takes_no_memory() -> None:
    one = assembly(Refusal.LATE)
    assert not one.take(cut(3)[0], 0.0)
    assert one.next_deadline is None
    assert one.wasted == {Refusal.LATE: 1}


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\0" * 28,
        b"\xff" * 29 + cut(3)[0][29:],
        cut(3)[0] + b"x",
        cut(3)[0][:-1],
        struct.pack("<BqqiII", 0, 3, 0, -1, 1 << 31, 0) + bytes(PIECE),
        struct.pack("<BqqiII", 0, 3, 0, -1, 4 * LENGTH, 6) + bytes(PIECE),
        struct.pack("<BqqiII", 0, 3, 0, -1, 4 * LENGTH, 6),
    ],
)
def test_garbage(datagram: bytes) -> None:
    one = assembly()
    assert not one.take(datagram, 0.0)
    assert one.wasted == {Waste.GARBAGE: 1}
    assert one.next_deadline is None


def test_no_piece_lies_beyond_the_end_of_whole_pieces() -> None:
    wire = Wire({"gradient": Kind(Form(np.dtype("float32"), 2 * PIECE // 4), frozenset({1}))})
    one = Assembly(wire, lambda _: None, seconds=2.0)
    assert not one.take(struct.pack("<BqqiII", 0, 3, 0, -1, 2 * PIECE, 2), 0.0)
    assert one.wasted == {Waste.GARBAGE: 1}


def test_repeated() -> None:
    one = assembly()
    one.take(cut(3)[0], 0.0)
    one.take(cut(3)[0], 0.0)
    assert one.wasted == {Waste.REPEATED: 1}


def test_only_kinds_with_nan() -> None:
    with pytest.raises(ValueError, match="nothing can be marked as missing"):
        Wire({"votes": Kind(Form(np.dtype("int64"), 3), frozenset({1}))})
