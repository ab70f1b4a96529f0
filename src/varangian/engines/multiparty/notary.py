"""Signatures, in a thread of their own: hashing a long vector must not hold up the links."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from varangian.engines.multiparty.identity import (
    DIGEST,
    Credentials,
    Equivocation,
    Witness,
    digest,
    statement,
)
from varangian.engines.multiparty.wire import SEEN, SIGNED, GarbageError
from varangian.protocols import Body, Message, Topic

REMEMBERED = 16
TOLD = 64
"""Signed digests that are told to a peer at once: the newest."""
T = TypeVar("T")
_ENTRY = struct.Struct("<iBqqiB")


class Notary:
    """Sign what a party says, check what others signed, and tell who saw what.

    Signing once is enough for all receivers of one value; a party that tells them different ones signs each.
    """

    def __init__(self, credentials: Credentials, run: str, names: Mapping[int, str], me: int) -> None:
        self.credentials, self.run, self.name = credentials, run, names[me]
        self.witness = Witness(run, names, REMEMBERED)
        self._kinds = sorted(SIGNED)
        self._thread = ThreadPoolExecutor(1, "notary")
        self._signed: dict[tuple[Topic, int], tuple[Body, asyncio.Future[bytes]]] = {}
        self._news: list[tuple[int, Topic, bytes]] = []

    @property
    def evidence(self) -> dict[int, Equivocation]:
        """Return the first equivocation of each party, where there was one."""
        return self.witness.evidence

    def knows(self, party: int, public: Any) -> None:
        """Remember a party's key."""
        self.witness.keys[party] = public

    async def prove(self, message: Message) -> bytes:
        """Return the digest of a value and its signature, or nothing for kinds that are not signed."""
        if message.topic.kind not in SIGNED:
            return b""
        # The body is kept with its proof, so that no other gets its identity meanwhile.
        key = (message.topic, id(message.body))
        if key not in self._signed:
            self._signed[key] = (message.body, self._run(self._sign, message.topic, message.body))
            if len(self._signed) > REMEMBERED:
                del self._signed[next(iter(self._signed))]
        return await asyncio.shield(self._signed[key][1])

    async def accepts(self, party: int, topic: Topic, body: Body, proof: bytes) -> bool:
        """Tell whether a value is what its sender signed; of kinds that are not signed, everything is."""
        if topic.kind not in SIGNED:
            return not proof
        return await self._run(self._check, party, topic, body, proof)

    def news(self) -> bytes | None:
        """Return what was seen since the last call, as a message, or None."""
        news, self._news = self._news[-TOLD:], []
        if not news:
            return None
        entries = [
            _ENTRY.pack(
                party, self._kinds.index(topic.kind), topic.step, topic.round, topic.subject, len(proof)
            )
            + proof
            for party, topic, proof in news
        ]
        return bytes([SEEN]) + b"".join(entries)

    async def hear(self, message: bytes) -> bool:
        """Take what another party has seen, and tell whether it was true. Raises GarbageError."""
        entries: list[tuple[int, Topic, bytes]] = []
        at = 1
        while at < len(message):
            if at + _ENTRY.size > len(message) or len(entries) >= TOLD:
                raise GarbageError
            party, kind, step, round, subject, length = _ENTRY.unpack_from(message, at)
            at += _ENTRY.size + length
            if at > len(message) or kind >= len(self._kinds) or length <= DIGEST:
                raise GarbageError
            topic = Topic(step, self._kinds[kind], round, subject)
            entries.append((party, topic, message[at - length : at]))
        return await self._run(self._saw, entries)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _sign(self, topic: Topic, body: Body) -> bytes:
        sha256 = digest(body)
        return sha256 + self.credentials.sign(statement(self.run, self.name, topic, sha256))

    def _check(self, party: int, topic: Topic, body: Body, proof: bytes) -> bool:
        if len(proof) <= DIGEST or digest(body) != proof[:DIGEST]:
            return False
        seen = self.witness.saw(party, topic, proof)
        if seen:
            self._news.append((party, topic, proof))
        return seen is not False

    def _saw(self, entries: list[tuple[int, Topic, bytes]]) -> bool:
        # A key that is not known yet is nobody's lie.
        known = [entry for entry in entries if entry[0] in self.witness.keys]
        judged = [self.witness.saw(*entry) for entry in known]
        return False not in judged
