"""Learning rates that change with the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from varangian.errors import ParameterError
from varangian.optim import InverseDecay, Piecewise, rate_at


@pytest.mark.parametrize(
    ("initial", "decay", "every"), [(0.5, 10.0, 1), (0.01, 167, 1500), (0.01, 3.0, 7), (1, 1, 1)]
)
def test_inverse_decay_is_its_formula(initial: float, decay: float, every: int) -> None:
    schedule = InverseDecay(initial, decay, every)
    for step in [*range(50), 1499, 1500, 2999, 3000]:
        last = max(t for t in range(0, step + 1, every))
        assert schedule.rate(step) == pytest.approx(initial / (1 + last / decay), rel=1e-14)


def test_the_grid_of_the_study() -> None:
    """0.01 with decay 167, every 1500: about 0.001 after 1500 steps."""
    schedule = InverseDecay(0.01, 167, 1500)
    assert {schedule.rate(step) for step in range(1500)} == {0.01}
    assert schedule.rate(1500) == pytest.approx(0.001, rel=0.01)


def test_piecewise_is_constant_from_each_step_on() -> None:
    schedule = Piecewise(((0, 0.5), (3, 0.1), (4, 0.2)))
    assert [schedule.rate(step) for step in range(6)] == [0.5, 0.5, 0.5, 0.1, 0.2, 0.2]
    assert schedule.rate(10**9) == 0.2


def test_a_number_is_a_schedule() -> None:
    assert rate_at(0.3, 7) == 0.3
    assert rate_at(Piecewise(((0, 1.0), (5, 2.0))), 7) == 2.0


IMPOSSIBLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: InverseDecay(0.0, 1.0), "initial"),
    (lambda: InverseDecay(math.nan, 1.0), "initial"),
    (lambda: InverseDecay(0.1, 0.0), "decay"),
    (lambda: InverseDecay(0.1, math.inf), "decay"),
    (lambda: InverseDecay(0.1, 1.0, 0), "every"),
    (lambda: Piecewise(()), "steps must start at 0"),
    (lambda: Piecewise(((1, 0.1),)), "steps must start at 0"),
    (lambda: Piecewise(((0, 0.1), (0, 0.2))), "steps must start at 0"),
    (lambda: Piecewise(((0, 0.1), (5, 0.2), (3, 0.2))), "grow"),
    (lambda: Piecewise(((0, -0.1),)), "rate"),
    (lambda: Piecewise(((0, 0.1), (4, math.nan))), "rate"),
    (lambda: Piecewise(((0, 0.1), (4, 0.0))), "rate"),
]


@pytest.mark.parametrize(("make", "words"), IMPOSSIBLE)
def test_impossible_schedules_are_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        make()
