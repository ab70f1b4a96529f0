"""What happens to the network and to its parties, and when, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Crash:
    """A party stops at a time, and comes back later, or never.

    It has forgotten all but its last checkpoint; that too, unless it ``keeps`` it.
    """

    party: int
    at: float
    back: float | None = None
    keeps: bool = True


@dataclass(frozen=True)
class Partition:
    """Some parties cannot speak to the others for a while; what is said meanwhile arrives afterwards."""

    parties: frozenset[int]
    begin: float
    end: float

    def cuts(self, sender: int, receiver: int, time: float) -> bool:
        """Tell whether a message sent at a time has to wait."""
        return self.begin <= time < self.end and (sender in self.parties) != (receiver in self.parties)


Event = Crash | Partition
