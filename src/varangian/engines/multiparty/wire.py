"""What goes over a link: chunks of values whose form both ends know already."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from varangian.core.randomness import Stream
from varangian.engines.multiparty.datagrams import Wire
from varangian.engines.multiparty.limits import AGREED, Limits
from varangian.protocols import Body, Form, Kind, Topic
from varangian.protocols.broadcast import INIT
from varangian.protocols.server import GATHER, GRADIENT, MODEL

SIGNED = frozenset({INIT, MODEL, GATHER})
"""Kinds of which a party must tell everyone the same."""
IN_PART = frozenset({GRADIENT})
"""Kinds of which a part may do: a rule can leave out what is missing of them."""

HELLO, VALUE, SEEN, BYE = 1, 2, 3, 9
KNOCK, OFFER, ASIDE, TAKEN, BROKE = 4, 5, 6, 7, 8
"""Of a connection for large vectors: may I, here it is, this comes there, it came, it is no more."""
UNKNOWN = "?"
SLACK = 4096
"""What a gRPC message may take beside a chunk."""

_HEAD = struct.Struct("<BBqqiQB")
_INDEX = struct.Struct("<I")


class GarbageError(ValueError):
    """Bytes that are no part of anything."""


class Head(NamedTuple):
    """What is said of a value before it: its topic, its length in bytes, and a proof that it was signed."""

    topic: Topic
    total: int
    proof: bytes = b""


class Chunk(NamedTuple):
    """A piece of a value; ``prefix`` is the same for all of them."""

    head: Head
    prefix: bytes
    number: int
    data: memoryview


class Schema:
    """The kinds of a protocol as they go over the wire: numbers for names, and the size of a chunk."""

    def __init__(self, kinds: Mapping[str, Kind], limits: Limits, run: str = "") -> None:
        self.kinds, self.limits, self.run = dict(kinds), limits, run
        self.names = sorted(kinds)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    @property
    def fingerprint(self) -> bytes:
        """Return what two parties must have in common, in 32 bytes."""
        forms = [(name, self.kinds[name].form.dtype.str, self.kinds[name].form.length) for name in self.names]
        agreed = (self.run, forms, *(getattr(self.limits, name) for name in AGREED))
        return hashlib.sha256(repr(agreed).encode()).digest()

    def partial(self, kind: str) -> bool:
        """Tell whether values of a kind may arrive in part."""
        return self.limits.partial and self._may_lack(kind)

    def lossy(self, kind: str) -> bool:
        """Tell whether values of a kind go in datagrams, where there is a channel for them."""
        return self.limits.lossy and self._may_lack(kind)

    @cached_property
    def datagrams(self) -> Wire:
        """Return the kinds that go in datagrams."""
        return Wire({name: kind for name, kind in self.kinds.items() if self.lossy(name)})

    def bulky(self, kind: str) -> bool:
        """Tell whether values of a kind go beside the stream, where there is a connection for them."""
        large = self.limits.bulk and self.kinds[kind].form.size >= self.limits.bulk_bytes
        return large and not self.partial(kind)

    @cached_property
    def has_bulky(self) -> bool:
        """Tell whether there are such values at all."""
        return any(map(self.bulky, self.kinds))

    def _may_lack(self, kind: str) -> bool:
        return kind in IN_PART and kind in self.kinds and self.kinds[kind].form.dtype.kind == "f"

    def chunk(self, kind: str) -> int:
        """Return the bytes of a chunk."""
        return self.limits.piece_bytes if self.partial(kind) else self.limits.chunk_bytes

    def chunks(self, kind: str, total: int) -> int:
        """Return how many chunks a value of ``total`` bytes takes; an empty one takes one."""
        return max(1, -(-total // self.chunk(kind)))

    def prefix(self, head: Head) -> bytes:
        """Return what goes before each chunk of a value."""
        step, kind, round, subject = head.topic
        number = self._numbers.get(kind, 255)
        fixed = _HEAD.pack(VALUE, number, step, round, subject, head.total, len(head.proof))
        return fixed + head.proof

    def parse(self, message: bytes) -> Chunk:
        """Return the chunk that a message holds. Raises GarbageError."""
        head, end = self.head(message)
        return Chunk(head, message[:end], *self.rest(message, end))

    def head(self, message: bytes) -> tuple[Head, int]:
        """Return what a message says of a value, and where that ends. Raises GarbageError."""
        start = _HEAD.size
        if len(message) < start or message[0] != VALUE:
            raise GarbageError
        _, number, step, round, subject, total, proof = _HEAD.unpack_from(message)
        end = start + proof
        if len(message) < end:
            raise GarbageError
        kind = self.names[number] if number < len(self.names) else UNKNOWN
        return Head(Topic(step, kind, round, subject), total, message[start:end]), end

    def rest(self, message: bytes, end: int) -> tuple[int, memoryview]:
        """Return a chunk's index and its data, which follow its prefix. Raises GarbageError."""
        if len(message) < end + _INDEX.size:
            raise GarbageError
        return _INDEX.unpack_from(message, end)[0], memoryview(message)[end + _INDEX.size :]

    def messages(self, topic: Topic, body: Body, proof: bytes, stream: Stream) -> Iterator[bytes]:
        """Yield a value in chunks; in a random order where a part of them may do.

        Randomness  from the stream, by topic
        """
        data = raw(body)
        size, count = self.chunk(topic.kind), self.chunks(topic.kind, len(data))
        prefix = self.prefix(Head(topic, len(data), proof))
        order = range(count)
        if self.partial(topic.kind):
            rng = stream.at("chunks", step=topic.step, round=topic.round, subject=topic.subject).numpy()
            order = rng.permutation(count).tolist()
        for index in order:
            yield b"".join((prefix, _INDEX.pack(index), data[index * size : (index + 1) * size]))


def raw(body: Body) -> memoryview:
    """Return the bytes of a value."""
    return memoryview(np.ascontiguousarray(body).reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def form_of(schema: Schema, topic: Topic) -> Form | None:
    """Return the form of what is said on a topic, if there is one."""
    kind = schema.kinds.get(topic.kind)
    return None if kind is None else kind.form
