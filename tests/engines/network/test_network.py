"""The network delivers what was said, to whom, by whom, when: nothing else, and the same for a seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from varangian.core.randomness import Stream
from varangian.engines.network import Constant, Crash, Delivery, Exponential, Link, Network, Partition
from varangian.protocols import Alarm, Form, Kind, Message, Node, Output, Topic

KINDS = {"say": Kind(Form(np.dtype(np.float64), 1), frozenset(range(9)))}


class Talker(Node):
    """Say ``many`` numbers to the next party at the start, and answer nothing."""

    many = 20

    def start(self) -> list[Output]:
        return [one for step in range(self.step, self.many) for one in self.say(step)]

    def say(self, step: int) -> list[Output]:
        return self.tell([(self.party + 1) % 3], Topic(step, "say"), np.array([float(step)]))

    def proceed(self) -> list[Output]:
        return []


def network(**changes: Any) -> tuple[Network, list[Delivery]]:
    seen: list[Delivery] = []
    return Network(lambda party: Talker(party, KINDS, 99), 3, watch=seen.append, **changes), seen


def steps(seen: list[Delivery], party: int) -> list[int]:
    return [delivery.what.topic.step for delivery in seen if delivery.party == party]


def test_all_arrive_in_order_once() -> None:
    made, seen = network(link=Link(Exponential()))
    assert not made.run()
    assert len(seen) == made.sent == 60
    assert [one.time for one in seen] == sorted(one.time for one in seen)
    assert all(steps(seen, party) == list(range(20)) for party in range(3))


def test_reordering_and_duplicates_are_those_declared() -> None:
    made, seen = network(link=Link(Exponential(), reorder=0.5, duplicate=0.3))
    made.run()
    assert steps(seen, 0) != sorted(steps(seen, 0))
    assert set(steps(seen, 0)) == set(range(20))
    assert len(seen) > 60
    assert sum(count for node in made.nodes.values() for count in node.refused.values()) == len(seen) - 60


def test_one_seed_is_one_history() -> None:
    def times(seed: int) -> list[float]:
        made, seen = network(link=Link(Exponential()), stream=Stream(seed))
        made.run()
        return [one.time for one in seen]

    assert times(1) == times(1) != times(2)


def test_no_message_names_its_sender() -> None:
    class Impostor(Talker):
        def say(self, step: int) -> list[Output]:
            return [Message(8, 1, Topic(step, "say"), np.array([0.0]))]

    seen: list[Delivery] = []
    Network(lambda party: Impostor(party, KINDS, 99), 2, watch=seen.append).run()
    assert {one.what.sender for one in seen if isinstance(one.what, Message)} == {0, 1}


def test_a_partition_holds_what_is_said() -> None:
    made, seen = network(events=[Partition(frozenset({1}), 0.0, 5.0), Partition(frozenset({1, 2}), 4.0, 7.0)])
    made.run()
    first = {party: min(one.time for one in seen if one.party == party) for party in range(3)}
    assert first[0] == pytest.approx(0.01), "2 to 0: the second partition has not begun"
    assert first[1] == pytest.approx(7.01), "0 to 1: both, one after the other"
    assert first[2] == pytest.approx(5.01), "1 to 2: the first alone"


def test_who_crashes_hears_nothing_and_is_told_again() -> None:
    made, seen = network(events=[Crash(1, 0.0, 3.0)], link=Link(Constant(1.0)))
    made.run()
    after = Counter(steps([one for one in seen if one.time >= 3], 1))
    assert after == dict.fromkeys(range(20), 1)
    assert not steps([one for one in seen if one.time < 3], 1)


@pytest.mark.parametrize("keeps", [True, False])
def test_who_loses_its_checkpoint_begins_anew(keeps: bool) -> None:
    class Walker(Talker):
        def start(self) -> list[Output]:
            self.step += 1
            return self.say(self.step)

    made = Network(lambda party: Walker(party, KINDS), 3, events=[Crash(1, 1.0, 2.0, keeps=keeps)])
    made.run()
    assert made.nodes[1].step == (2 if keeps else 1)


def test_a_schedule_decides() -> None:
    made, seen = network(schedule=lambda message: 100.0 - message.topic.step)
    made.run()
    assert steps(seen, 0) == list(range(19, -1, -1))


def test_alarms_ring_in_their_time() -> None:
    class Sleeper(Talker):
        def start(self) -> list[Output]:
            return [Alarm(2.5, Topic(0, "wake"))]

        def ring(self, alarm: Alarm) -> list[Output]:
            self.finished = alarm.topic.kind == "wake"
            return []

    made = Network(lambda party: Sleeper(party, KINDS), 1)
    assert made.run(lambda: made.nodes[0].finished)
    assert made.time == 2.5


def test_a_run_ends_where_it_is_told_to() -> None:
    made, seen = network(link=Link(Constant(1.0)))
    assert not made.run(seconds=0.5)
    assert not seen
    made, seen = network()
    assert not made.run(most=10)
