"""What came and went, by peer, and what was refused and why."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

from varangian.protocols import Refusal


class Breach(Enum):
    """What the transport itself does not take."""

    GARBAGE = "bytes that are no part of a value"
    UNFINISHED = "not there in time"
    FORGED = "a signature that does not fit"
    FOREIGN = "of another run, or of other forms of values"
    IMPOSTOR = "a certificate of somebody else"
    OUSTED = "cut off, and back too early"
    CROWDED = "no room left for those before"
    FLOOD = "faster than agreed"
    BROKEN = "a record that nobody of this connection has sealed"


Reason = Breach | Refusal

HONEST = {
    Refusal.LATE,
    Refusal.REPEATED,
    Refusal.OVERTAKEN,
    Breach.UNFINISHED,
    Breach.CROWDED,
    Breach.OUSTED,
    Breach.BROKEN,
}
"""What is refused of an honest party too: of one that is slow, repeats itself, or has an enemy on its way."""


@dataclass
class Tally:
    """One peer's account."""

    bytes_in: int = 0
    bytes_out: int = 0
    chunks_in: int = 0
    chunks_out: int = 0
    wasted: int = 0
    taken: int = 0
    partial: int = 0
    sent: int = 0
    dropped: int = 0
    links: int = 0
    step: int = -1
    refused: Counter[Reason] = field(default_factory=Counter)
    barred_until: float = 0.0
    complaints: set[str] = field(default_factory=set)
    _breaches: deque[float] = field(default_factory=deque)

    def refuse(self, reason: Reason) -> None:
        """Count what was refused: once for all chunks of a value."""
        self.refused[reason] += 1
        if reason not in HONEST:
            self._breaches.append(time.monotonic())

    def breaches(self, seconds: float = 60.0) -> int:
        """Return how often the peer did lately what no honest party does."""
        now = time.monotonic()
        while self._breaches and self._breaches[0] < now - seconds:
            self._breaches.popleft()
        return len(self._breaches)

    def bar(self, seconds: float) -> None:
        """Make the peer wait, and forget what for."""
        self.barred_until = time.monotonic() + seconds
        self._breaches.clear()

    @property
    def barred(self) -> bool:
        """Tell whether the peer has to wait."""
        return time.monotonic() < self.barred_until
