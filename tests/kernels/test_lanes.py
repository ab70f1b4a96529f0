"""Pieces of work come back in order; a failure ends the rest; PyTorch's own setting is put back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from forked import holds_in_a_fork

import varangian as vg
from varangian.kernels.errands import Errand
from varangian.kernels.lanes import (
    _runners,
    each,
    lanes,
    lanes_instead_of_threads,
    shared,
    threads_instead_of_lanes,
)

PATIENCE = 60.0
"""Seconds that anything may take on a machine that is busy with other things."""


@pytest.fixture
def two() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_in_order_whatever_takes_longer(two: None) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number

    assert each(slow_first, range(20)) == list(range(20))
    assert each(slow_first, []) == []


def test_two_at_once(two: None) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE)
    assert len(each(lambda _: meeting.wait(), range(4))) == 4


def test_items_are_not_taken_before_they_are_needed(two: None) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    def fail(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        each(fail, items())
    assert len(taken) < 10


def test_a_failure_tells_the_others(two: None) -> None:
    over = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("enough")
        assert over.wait(PATIENCE)

    with pytest.raises(ValueError, match="enough"):
        each(work, range(4), over)
    assert over.is_set()


def test_the_caller_is_a_lane(two: None) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE)

    def work(_: int) -> threading.Thread:
        meeting.wait()
        return threading.current_thread()

    found = shared(work, range(6))
    assert len(set(found)) == 2
    assert threading.current_thread() in found


def test_shared_work_comes_back_in_order(two: None) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number

    for count in (0, 1, 2, 50):
        assert shared(slow_first, range(count)) == list(range(count))
    assert shared(lambda _: (lanes(), torch.get_num_threads()), range(6)) == [(1, 1)] * 6
    assert shared(lambda _: shared(lambda x: x, [1, 2]), range(4)) == [[1, 2]] * 4
    assert (lanes(), torch.get_num_threads()) == (2, 2)


@pytest.mark.parametrize("kind", [ValueError, IndexError, KeyboardInterrupt])
@pytest.mark.parametrize("helper", [False, True])
def test_nothing_is_begun_after_a_failure(two: None, kind: type[BaseException], helper: bool) -> None:
    begun, here = [], threading.current_thread()
    fails = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if (threading.current_thread() is not here) == helper:
            fails.set()
            raise kind("enough")
        assert fails.wait(PATIENCE)
        if len(begun) < 5:
            time.sleep(0.005 * 10 ** len(begun))  # until the failure is noted, which takes a moment

    with pytest.raises(kind, match="enough"):
        shared(work, range(100))
    assert len(begun) < 5
    assert shared(lambda x: x, range(4)) == [0, 1, 2, 3]


def test_lanes_that_are_busy_are_not_waited_for(two: None) -> None:
    free = threading.Event()
    busy = [Errand(lambda: free.wait(PATIENCE)) for _ in range(2)]
    assert all(_runners(2).give(errand) for errand in busy)
    assert shared(lambda x: x, range(4)) == [0, 1, 2, 3]
    free.set()
    assert all(one.result() for one in busy)


def test_no_lanes_within_a_lane(two: None) -> None:
    assert each(lambda _: (lanes(), torch.get_num_threads()), range(3)) == [(1, 1)] * 3
    assert each(lambda _: each(lambda x: x, [1, 2]), range(2)) == [[1, 2], [1, 2]]
    assert torch.get_num_threads() == 2


def test_settings_are_put_back(two: None) -> None:
    with lanes_instead_of_threads():
        assert (lanes(), torch.get_num_threads()) == (2, 1)
        with threads_instead_of_lanes():
            assert (lanes(), torch.get_num_threads()) == (2, 2)
        assert (lanes(), torch.get_num_threads()) == (2, 1)
    assert (lanes(), torch.get_num_threads()) == (2, 2)


def test_one_thread_is_the_callers(two: None) -> None:
    torch.set_num_threads(1)
    assert each(lambda _: threading.current_thread(), range(2)) == [threading.current_thread()] * 2


@pytest.mark.parametrize("column", [None, 0, 77, 511, 512, 150_000, 300_000])
def test_rules_give_the_same_bits_on_lanes(two: None, column: int | None) -> None:
    """What is done anew where a value is not finite does not depend on where the work is cut, either."""
    mixing = vg.NearestNeighborMixing(f=3)
    x = torch.randn(11, 300_001, generator=torch.Generator().manual_seed(1))
    if column is not None:
        x[4, column] = torch.inf
    for rule in (vg.Median(f=3), vg.MultiKrum(f=3), mixing, vg.chain(mixing, vg.TrimmedMean(f=3))):
        shared = rule(x)
        for threads in (1, 5):
            torch.set_num_threads(threads)
            assert torch.equal(rule(x), shared)
        torch.set_num_threads(2)


def test_a_fork_makes_lanes_of_its_own(two: None) -> None:
    assert each(lambda x: x, range(4)) == [0, 1, 2, 3]
    assert holds_in_a_fork(lambda: each(lambda x: x, range(4)) == [0, 1, 2, 3])
