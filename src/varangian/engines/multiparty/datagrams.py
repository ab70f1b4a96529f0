"""Values in datagrams, each of which may be lost, repeated or overtaken: cut up, and put together again."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from varangian.core.randomness import Stream
from varangian.protocols import Body, Kind, Refusal, Topic

PIECE = 1296
"""Bytes of a value in one datagram: whole numbers of any width, and it fits in the packets of any network."""

_HEAD = struct.Struct("<BqqiII")


class Waste(Enum):
    """Datagrams of no use, by why."""

    GARBAGE = "bytes that are no part of a value"
    LATE = "of a value that is closed, or older than the newest of its kind"
    REPEATED = "a piece that is there already"


class Arrived(NamedTuple):
    """A value with NaN for the pieces that did not come, and how many did not."""

    topic: Topic
    body: Body
    missing: int


class Wire:
    """The kinds that travel in datagrams, with numbers for names. Raises ValueError for one without NaN."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds, self.names = dict(kinds), sorted(kinds)
        for name, kind in kinds.items():
            if kind.form.dtype.kind != "f":
                raise ValueError(
                    f"{name} is of {kind.form.dtype}, in which nothing can be marked as missing."
                )

    def cut(self, topic: Topic, body: Body, stream: Stream) -> Iterator[bytes]:
        """Yield a value in datagrams, in a random order, so that what is lost at the end is not the tail.

        Randomness  from the stream, by topic
        """
        data = np.ascontiguousarray(body).reshape(-1).view(np.uint8)
        rng = stream.at("pieces", step=topic.step, round=topic.round, subject=topic.subject).numpy()
        for index in rng.permutation(_pieces(data.nbytes)).tolist():
            yield self.head(topic, data.nbytes, index) + data[index * PIECE : (index + 1) * PIECE].tobytes()

    def head(self, topic: Topic, total: int, index: int) -> bytes:
        """Return what stands before a piece."""
        step, kind, round, subject = topic
        return _HEAD.pack(self.names.index(kind), step, round, subject, total, index)

    @property
    def head_bytes(self) -> int:
        """Return the length of what stands before a piece; alone, it says that all pieces were sent."""
        return _HEAD.size

    def ending(self, said: bytes) -> Topic | None:
        """Return the topic of which all pieces were sent, if that is what was said."""
        if len(said) != _HEAD.size:
            return None
        number, step, round, subject, total, _ = _HEAD.unpack(said)
        known = total == 0 and number < len(self.names)
        return Topic(step, self.names[number], round, subject) if known else None

    def parse(self, datagram: bytes) -> tuple[Topic, int, memoryview] | None:
        """Return topic, index and data of a piece that may be one: of a kind's own length, and all there."""
        if len(datagram) < _HEAD.size:
            return None
        number, step, round, subject, total, index = _HEAD.unpack_from(datagram)
        data = memoryview(datagram)[_HEAD.size :]
        if number >= len(self.names) or total != self.kinds[self.names[number]].form.size:
            return None
        if index >= _pieces(total) or len(data) != min(PIECE, total - index * PIECE):
            return None
        return Topic(step, self.names[number], round, subject), index, data


@dataclass
class _Open:
    """A value of which pieces may still come, and the bitmap of those that did."""

    topic: Topic
    body: Body
    there: bytearray
    until: float

    @property
    def missing(self) -> int:
        return self.there.count(0)


class Assembly:
    """Put the pieces of one peer together: of each kind the newest value, and no other.

    A value is closed when it is whole, when the peer has said that all was sent, when a newer one of its kind
    begins, or ``seconds`` after its first piece. What comes for it after that lands nowhere. ``judge`` says
    whether a topic's value would be refused, which is asked before there is memory for it. ``waste`` is told
    why a datagram was of no use.
    """

    def __init__(
        self,
        wire: Wire,
        judge: Callable[[Topic], Refusal | None],
        seconds: float,
        waste: Callable[[Waste | Refusal], None] = lambda why: None,
    ) -> None:
        self.wire, self.judge, self.seconds, self.waste = wire, judge, seconds, waste
        self.wasted: Counter[Waste | Refusal] = Counter()
        self._open: dict[str, _Open] = {}
        self._newest: dict[str, Topic] = {}

    @property
    def next_deadline(self) -> float | None:
        """Return when the first of the open values has to be closed."""
        return min((value.until for value in self._open.values()), default=None)

    def take(self, datagram: bytes, now: float) -> list[Arrived]:
        """Take a datagram, and return the values that it closes."""
        piece = self.wire.parse(datagram)
        if piece is None:
            return self._wasted(Waste.GARBAGE)
        topic, index, data = piece
        closed: list[Arrived] = []
        value = self._open.get(topic.kind)
        if value is None or value.topic != topic:
            refusal = self._refusal(topic)
            if refusal is not None:
                return self._wasted(refusal)
            closed = self._close(topic.kind)
            value = self._begin(topic, now)
        if value.there[index]:
            return [*closed, *self._wasted(Waste.REPEATED)]
        value.body.view(np.uint8)[index * PIECE : index * PIECE + len(data)] = np.frombuffer(data, np.uint8)
        value.there[index] = 1
        return closed if value.missing else [*closed, *self._close(topic.kind)]

    def knows(self, topic: Topic) -> bool:
        """Tell whether something has come of a value, or of a newer one of its kind."""
        newest = self._newest.get(topic.kind)
        return newest is not None and topic <= newest

    def ended(self, topic: Topic) -> list[Arrived]:
        """Close a value, all of which was sent: also one of which nothing has come, so that nobody waits."""
        value = self._open.get(topic.kind)
        if value is not None and value.topic == topic:
            return self._close(topic.kind)
        if self._refusal(topic) is not None:
            return []
        closed = self._close(topic.kind)
        self._begin(topic, math.inf)
        return [*closed, *self._close(topic.kind)]

    def expire(self, now: float) -> list[Arrived]:
        """Close what is open for too long."""
        late = [kind for kind, value in self._open.items() if value.until <= now]
        return [arrived for kind in late for arrived in self._close(kind)]

    def _wasted(self, why: Waste | Refusal) -> list[Arrived]:
        self.wasted[why] += 1
        self.waste(why)
        return []

    def _refusal(self, topic: Topic) -> Waste | Refusal | None:
        return Waste.LATE if self.knows(topic) else self.judge(topic)

    def _begin(self, topic: Topic, now: float) -> _Open:
        form = self.wire.kinds[topic.kind].form
        body = np.full(form.length, math.nan, form.dtype)
        value = _Open(topic, body, bytearray(_pieces(form.size)), now + self.seconds)
        self._open[topic.kind], self._newest[topic.kind] = value, topic
        return value

    def _close(self, kind: str) -> list[Arrived]:
        value = self._open.pop(kind, None)
        return [] if value is None else [Arrived(value.topic, value.body, value.missing)]


def _pieces(total: int) -> int:
    return max(1, -(-total // PIECE))
