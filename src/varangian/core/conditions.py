"""What the number of vectors must satisfy for a guarantee to hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """The least n that a guarantee accepts, with the words of its theorem.

    >>> str(Condition(9, "n >= 2f + 3"))
    'n >= 2f + 3 = 9'
    """

    minimum: int
    words: str

    def holds(self, n: int) -> bool:
        """Tell whether n vectors are enough."""
        return n >= self.minimum

    def __str__(self) -> str:
        return self.words if self.words.endswith(f" {self.minimum}") else f"{self.words} = {self.minimum}"
