"""Learning rates that change with the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from varangian.core.checks import check_count, check_number
from varangian.errors import ParameterError


class Schedule(ABC):
    """A learning rate for every step."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from zero."""


@dataclass(frozen=True)
class InverseDecay(Schedule):
    """The rate ``initial / (1 + t / decay)``, recomputed every ``every`` steps.

    >>> InverseDecay(0.01, decay=167, every=1500).rate(1499)
    0.01
    """

    initial: float
    decay: float
    every: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive."""
        check_number(self, "initial", self.initial)
        check_number(self, "decay", self.decay)
        check_count(self, "every", self.every, least=1)

    def rate(self, step: int) -> float:
        """Return the rate of the last recomputation."""
        return self.initial / (1 + step // self.every * self.every / self.decay)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """A rate from each given step on, as pairs (step, rate), the first step being 0.

    >>> Piecewise(((0, 0.02), (8000, 0.004))).rate(9000)
    0.004
    """

    pieces: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        """Refuse steps that do not start at zero or do not grow."""
        pairs = isinstance(self.pieces, (tuple, list)) and all(
            isinstance(piece, (tuple, list)) and len(piece) == 2 for piece in self.pieces
        )
        if not pairs:
            raise ParameterError(f"Piecewise(pieces={self.pieces!r}): pass pairs of a step and a rate.")
        steps = [step for step, _ in self.pieces]
        for step, rate in self.pieces:
            check_count(self, "step", step, least=0)
            check_number(self, "rate", rate)
        if not steps or steps[0] != 0 or steps != sorted(set(steps)):
            raise ParameterError(f"Piecewise(pieces={self.pieces!r}): steps must start at 0 and grow.")

    def rate(self, step: int) -> float:
        """Return the rate of the last piece begun."""
        return next(rate for start, rate in reversed(self.pieces) if start <= step)


def rate_at(learning_rate: float | Schedule, step: int) -> float:
    """Return the learning rate of a step, whether it is a number or a schedule."""
    return learning_rate.rate(step) if isinstance(learning_rate, Schedule) else learning_rate
