"""A rate that a peer keeps: what it took too much of, it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """So much a second, and what was not used of the last ``burst`` seconds.

    >>> budget = Budget(10, burst=1, clock=lambda: 0.0)
    >>> budget.take(10), budget.take(5)
    (0.0, 0.5)
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.most, self.clock = rate, rate * burst, clock
        self._left, self._at = self.most, clock()

    def spares(self, amount: float) -> bool:
        """Take an amount, if so much is left, and tell whether it is."""
        enough = self._left + (self.clock() - self._at) * self.rate >= amount
        return enough and self.take(amount) == 0.0

    def take(self, amount: float) -> float:
        """Take an amount, and return the seconds to wait before the next."""
        now = self.clock()
        self._left = min(self.most, self._left + (now - self._at) * self.rate) - amount
        self._at = now
        return max(0.0, -self._left / self.rate)
