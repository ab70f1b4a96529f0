"""What a peer sends, put together: one value at a time, in memory that was there before."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from varangian.engines.multiparty.tally import Breach, Tally
from varangian.engines.multiparty.wire import Chunk, GarbageError, Head, Schema, form_of
from varangian.protocols import Body, Form, Refusal, Topic


class Arrived(NamedTuple):
    """A value that is there, and how it was signed."""

    topic: Topic
    body: Body
    proof: bytes


class Rows:
    """Memory for values of one form: a row is used again when nobody holds it any more."""

    def __init__(self, form: Form, most: int) -> None:
        self.form, self.most = form, most
        self._rows: list[Body] = []

    def get(self) -> Body:
        """Return a row whose contents do not matter."""
        for row in self._rows:
            # Held by the list, by this loop and by the call itself: views count as holders of their row.
            if sys.getrefcount(row) <= 3:
                return row
        row = np.empty(self.form.length, self.form.dtype)
        if len(self._rows) < self.most:
            self._rows.append(row)
        return row


@dataclass
class _Value:
    """A value of which chunks are missing."""

    head: Head
    prefix: bytes
    row: Body
    missing: int
    there: bytearray
    bytes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.bytes = self.row.view(np.uint8)


class Intake:
    """Put one peer's chunks together.

    ``judge`` says of a topic whether its value would be refused. That is asked before there is any memory for
    the value; the chunks of what is refused are read and forgotten.
    """

    def __init__(
        self, schema: Schema, judge: Callable[[Topic], Refusal | None], tally: Tally, rows: int = 4
    ) -> None:
        self.schema, self.judge, self.tally = schema, judge, tally
        self._rows = {name: Rows(kind.form, rows) for name, kind in schema.kinds.items()}
        self._value: _Value | None = None
        self._refused: bytes | None = None

    @property
    def unfinished(self) -> object | None:
        """Return what stands for the value that has begun to arrive, if there is one."""
        return self._value

    def take(self, message: bytes) -> list[Arrived]:
        """Take a message, and return the value that it completes, and what it cuts short."""
        try:
            return self._take(message)
        except GarbageError:
            self.tally.refuse(Breach.GARBAGE)
            self.tally.wasted += 1
            return self.expire()

    def expire(self) -> list[Arrived]:
        """Give up waiting for the value that has begun: return what there is of it if a part may do."""
        value, self._value = self._value, None
        if value is None:
            return []
        self._refused = value.prefix
        kind = value.head.topic.kind
        if not self.schema.partial(kind):
            self.tally.refuse(Breach.UNFINISHED)
            return []
        size = self.schema.chunk(kind) // value.row.itemsize
        for index in np.flatnonzero(np.frombuffer(value.there, np.uint8) == 0):
            value.row[index * size : (index + 1) * size] = math.nan
        self.tally.partial += 1
        return [Arrived(value.head.topic, value.row, value.head.proof)]

    def _take(self, message: bytes) -> list[Arrived]:
        if self._value is not None and message.startswith(self._value.prefix):
            return self._fill(self._value, *self.schema.rest(message, len(self._value.prefix)))
        if self._refused is not None and message.startswith(self._refused):
            self.tally.wasted += 1
            return []
        chunk = self.schema.parse(message)
        cut = self.expire()
        row = self.admit(chunk.head)
        if row is not None:
            self._refused = None
            return [*cut, *self._fill(self._begin(chunk, row), chunk.number, chunk.data)]
        self.tally.wasted += 1
        self._refused = chunk.prefix
        return cut

    def admit(self, head: Head) -> Body | None:
        """Return memory for a value, or None, and count why, if it is not wanted."""
        form = form_of(self.schema, head.topic)
        wrong = form is not None and head.total != form.size
        refusal = Refusal.MALFORMED if wrong else self.judge(head.topic)
        if refusal is None:
            return self._rows[head.topic.kind].get()
        self.tally.refuse(refusal)
        return None

    def _begin(self, chunk: Chunk, row: Body) -> _Value:
        count = self.schema.chunks(chunk.head.topic.kind, chunk.head.total)
        self._value = _Value(chunk.head, chunk.prefix, row, count, bytearray(count))
        return self._value

    def _fill(self, value: _Value, index: int, data: memoryview) -> list[Arrived]:
        size = self.schema.chunk(value.head.topic.kind)
        start = index * size
        fits = index < len(value.there) and len(data) == min(size, value.head.total - start)
        if not fits or value.there[index]:
            raise GarbageError
        if data:
            value.bytes[start : start + len(data)] = np.frombuffer(data, np.uint8)
        value.there[index] = 1
        value.missing -= 1
        if value.missing:
            return []
        self._value = None
        return [Arrived(value.head.topic, value.row, value.head.proof)]
