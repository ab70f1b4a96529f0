"""A party that has finished stays for those who ask, but not for ever."""

from __future__ import annotations

import pytest

from varangian.engines.multiparty.patience import LONGEST, Patience

QUIET, DONE = 5.0, 400.0


class Clock:
    """A clock that stands where it is put."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    made = Patience(QUIET, clock)
    clock.now = DONE
    made.heard(finished=False)
    return made


def test_who_asks_is_helped(clock: Clock, patience: Patience) -> None:
    for clock.now in (404.0, 408.0, 412.0):
        assert not patience.over
        patience.heard(finished=True)
    clock.now = 417.5
    assert patience.over


def test_who_never_stops_asking_holds_nobody_up(clock: Clock, patience: Patience) -> None:
    while clock.now <= DONE + LONGEST * QUIET:
        assert not patience.over
        patience.heard(finished=True)
        clock.now += 2.0
    assert patience.over
