"""Parties of one role: who they are, how many may lie, and how many of them a node waits for."""

from __future__ import annotations

from dataclasses import dataclass

from varangian.core.conditions import Condition
from varangian.errors import ToleranceError


@dataclass(frozen=True)
class Group:
    """Parties ``first`` to ``first + n - 1``, ``f`` of which may do anything.

    A node waits for ``quorum`` of them: n - f unless it is said, the most that is sure to come.

    >>> Group("worker", n=8, f=2).quorum
    6
    """

    role: str
    n: int
    f: int = 0
    quorum: int = 0
    first: int = 0

    def __post_init__(self) -> None:
        if self.quorum == 0:
            object.__setattr__(self, "quorum", self.n - self.f)

    @property
    def parties(self) -> range:
        """Return the numbers of the parties."""
        return range(self.first, self.first + self.n)

    def check(self, least: Condition, quorum: Condition) -> None:
        """Refuse a group in which the protocol proves nothing.

        Raises ToleranceError.
        """
        name = f"{self.n} {self.role}s, of which f = {self.f} may lie"
        if not 0 <= self.f < self.n or not least.holds(self.n):
            raise ToleranceError(
                f"{name}: the protocol needs {least}.\n"
                f"Add {max(least.minimum - self.n, 1)} {self.role}s, or declare a smaller f."
            )
        if not quorum.holds(self.quorum) or self.quorum > self.n - self.f:
            raise ToleranceError(
                f"{name}, quorum = {self.quorum}: a node must wait for {quorum} at least, and can count on "
                f"n - f = {self.n - self.f} at most.\nLeave the quorum out to wait for n - f."
            )
