"""Each fault does to a message what it says, and a liar does it to all that its node says."""

from __future__ import annotations

import numpy as np
import pytest
from protocols.parties import FORM, body, message, task

from varangian.core.randomness import Stream
from varangian.protocols import (
    FAULTS,
    Equivocating,
    Fault,
    Flooding,
    Liar,
    Message,
    Misdated,
    Misshapen,
    Noise,
    NotANumber,
    Replaying,
    Reversed,
    Silent,
    Single,
    Topic,
)

TRUTH = message(0, Topic(3, "model"), 2.0, receiver=1)


def bent(fault: Fault, truth: Message = TRUTH) -> list[Message]:
    return fault.bend(truth, np.random.default_rng(1))


def test_what_faults_send() -> None:
    assert bent(Silent()) == []
    assert bent(Reversed(3.0))[0].body == body(-6.0)
    assert np.isnan(bent(NotANumber())[0].body).all()
    assert bent(Misdated(-2))[0].topic.step == 1
    assert bent(Noise())[0].body != TRUTH.body
    assert bent(Equivocating())[0].body != TRUTH.body
    (honest,) = bent(Equivocating(), TRUTH._replace(receiver=2))
    assert honest.body is TRUTH.body
    assert not any(FORM.admits(bent(Misshapen())[0].body) for _ in range(9))
    assert [one.body is TRUTH.body for one in bent(Replaying())] == [True, True]
    flood = bent(Flooding(5))
    assert len({one.topic for one in flood}) == 6


@pytest.mark.parametrize("fault", FAULTS)
def test_a_truth_is_never_written_to(fault: type[Fault]) -> None:
    for truth in (TRUTH, TRUTH._replace(body=np.arange(9, dtype=np.uint8)), TRUTH._replace(body=np.zeros(0))):
        before = truth.body.copy()
        truth.body.flags.writeable = False
        bent(fault(), truth)
        assert np.array_equal(truth.body, before)


def liar(fault: Fault) -> Liar:
    return Liar(Single(workers=2).node(0, task()), fault, Stream(1))


def test_a_liar_lies_whenever_it_speaks() -> None:
    one = liar(Misdated(7))
    assert {said.topic.step for said in one.start()} == {7}
    assert {said.topic.step for said in one.again(1)} == {7}
    for worker in (1, 2):
        said = one.receive(message(worker, Topic(0, "gradient"), 1.0))
    assert {one.topic.step for one in said} == {8}
    assert one.step == 1
    other = liar(Misdated(7))
    other.restore(one.state())
    assert other.step == 1


def test_what_is_replayed_is_the_first() -> None:
    one = liar(Replaying())
    one.start()
    for worker in (1, 2):
        said = one.receive(message(worker, Topic(0, "gradient"), 1.0))
    assert [(said.topic.step, float(said.body[0])) for said in said] == [(1, 0.0)] * 4
