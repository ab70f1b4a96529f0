"""How a link between two parties treats what is sent over it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from varangian.errors import ParameterError
from varangian.protocols import Body


class Delay(ABC):
    """How long a message takes, in seconds."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> float:
        """Return the delay of one message."""


@dataclass(frozen=True)
class Constant(Delay):
    """Always the same."""

    seconds: float = 0.01

    def draw(self, rng: np.random.Generator) -> float:
        """Return the same."""
        return self.seconds


@dataclass(frozen=True)
class Uniform(Delay):
    """Anything between two bounds."""

    least: float = 0.0
    most: float = 0.02

    def draw(self, rng: np.random.Generator) -> float:
        """Return a number between the bounds."""
        return float(rng.uniform(self.least, self.most))


@dataclass(frozen=True)
class Exponential(Delay):
    """Mostly short, as in a queue."""

    mean: float = 0.01

    def draw(self, rng: np.random.Generator) -> float:
        """Return an exponential number."""
        return float(rng.exponential(self.mean))


@dataclass(frozen=True)
class HeavyTailed(Delay):
    """Now and then enormous: Pareto, with median ``median`` and infinite variance at ``shape`` below 2."""

    median: float = 0.01
    shape: float = 1.2

    def draw(self, rng: np.random.Generator) -> float:
        """Return a Pareto number."""
        return float(self.median * (rng.random() * 2) ** (-1 / self.shape))


@dataclass(frozen=True)
class Link:
    """Delay, and what goes wrong.

    Of a reliable link, a lost message is sent again after ``timeout`` seconds, twice that the next time, and
    so on. Of a ``lossy`` one, vectors arrive with NaN for each lost piece of ``piece`` numbers. A message may
    arrive twice with probability ``duplicate``, and overtake others with probability ``reorder``.
    """

    delay: Delay = field(default_factory=Constant)
    loss: float = 0.0
    lossy: bool = False
    duplicate: float = 0.0
    reorder: float = 0.0
    timeout: float = 0.2
    piece: int = 350

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ParameterError(f"Link({name}={share!r}): {name} is a probability, from 0 to below 1.")

    def transit(self, body: Body, rng: np.random.Generator) -> tuple[float, Body]:
        """Return how long a message takes, and what of it arrives."""
        seconds = self.delay.draw(rng)
        if not self.loss:
            return seconds, body
        if self.lossy and body.dtype.kind == "f":
            lost = rng.random(math.ceil(len(body) / self.piece)) < self.loss
            return seconds, np.where(np.repeat(lost, self.piece)[: len(body)], np.nan, body).astype(
                body.dtype
            )
        tries = int(rng.geometric(1 - self.loss)) - 1
        return seconds + self.timeout * (2**tries - 1), body
