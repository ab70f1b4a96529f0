"""What a history shows when a protocol does not keep its word."""

from __future__ import annotations


class Broken(AssertionError):  # noqa: N818
    """A protocol broke an invariant: ``invariant`` names it, ``how`` tells what was seen."""

    def __init__(self, invariant: str, how: str) -> None:
        super().__init__(f"{invariant}: {how}")
        self.invariant, self.how = invariant, how
