"""How long a party that has finished helps those who are slower, or were away."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST = 60
"""How many times the quiet that a party waits for it lets itself be held up at most."""


class Patience:
    """Wait until nobody has wanted anything for ``quiet`` seconds, but no longer than ``LONGEST`` times that.

    The longest wait is for those who never stop asking; it counts from the time when the party had finished.
    """

    def __init__(self, quiet: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.quiet, self.clock = quiet, clock
        self._heard = self._finished = clock()

    def heard(self, *, finished: bool) -> None:
        """Take note that somebody has said something, and whether all is finished here."""
        self._heard = self.clock()
        if not finished:
            self._finished = self._heard

    @property
    def over(self) -> bool:
        """Tell whether a party that has finished may leave."""
        return self.clock() > min(self._heard + self.quiet, self._finished + LONGEST * self.quiet)
