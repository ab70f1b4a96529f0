"""A conversation with one peer, from the greeting until one of both hangs up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from varangian.core.randomness import Stream as Randomness
from varangian.engines.multiparty.aside import SAID, Aside
from varangian.engines.multiparty.budget import Budget
from varangian.engines.multiparty.bulk import Door
from varangian.engines.multiparty.datagrams import Arrived as Datagrams
from varangian.engines.multiparty.identity import Credentials, IdentityError
from varangian.engines.multiparty.inbox import Inbox
from varangian.engines.multiparty.intake import Arrived, Intake
from varangian.engines.multiparty.lane import Lane
from varangian.engines.multiparty.link import ClosedError, Peer, Stream, UnfitError
from varangian.engines.multiparty.notary import Notary
from varangian.engines.multiparty.outbox import Outbox
from varangian.engines.multiparty.tally import Breach, Tally
from varangian.engines.multiparty.ways import Way
from varangian.engines.multiparty.wire import HELLO, SEEN, GarbageError, Schema
from varangian.protocols import Message, Refusal, Topic


@dataclass
class Common:
    """What all conversations of a party share. ``judge`` is asked before a value has any memory."""

    me: int
    credentials: Credentials
    schema: Schema
    notary: Notary
    inbox: Inbox
    door: Door
    judge: Callable[[int, Topic], Refusal | None]
    rows: int
    randomness: Randomness


class Conversation:
    """Read from a peer and write to it, each at its own pace."""

    def __init__(self, common: Common, peer: Peer, stream: Stream, tally: Tally) -> None:
        self.common, self.peer, self.stream, self.tally = common, peer, stream, tally
        self.limits = common.schema.limits
        self.outbox = Outbox(self.limits.outgoing)
        self.intake = Intake(common.schema, lambda topic: common.judge(peer.party, topic), tally, common.rows)
        self.lane = self._made_lane() if self.limits.lossy else None
        self.aside = Aside(common.schema, self.intake, tally, common.door, write=self._send, pays=self._pays)
        self.ways: list[Way] = [way for way in (self.lane, self.aside) if way is not None]
        self._bytes = Budget(self.limits.bytes_per_second, self.limits.burst_seconds)
        self._chunks = Budget(self.limits.messages_per_second, self.limits.burst_seconds)
        self._wasted = Budget(self.limits.wasted_per_second, self.limits.burst_seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._timed: object | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def greet(self) -> None:
        """Say who one is, and make sure who the other is. Raises ClosedError."""
        common = self.common
        await self.stream.write(bytes([HELLO]) + common.schema.fingerprint + common.credentials.certificate)
        try:
            async with asyncio.timeout(self.limits.hello_seconds):
                hello = await self.stream.read()
        except TimeoutError as error:
            self.tally.refuse(Breach.UNFINISHED)
            raise ClosedError("no greeting") from error
        fingerprint = common.schema.fingerprint
        end = 1 + len(fingerprint)
        if hello[:1] != bytes([HELLO]) or hello[1:end] != fingerprint:
            self.tally.refuse(Breach.FOREIGN if hello[:1] == bytes([HELLO]) else Breach.GARBAGE)
            raise UnfitError(
                "it is of another run, or its file tells another topology, experiment or limits. "
                "Everybody needs the same file."
            )
        try:
            public = common.credentials.public(hello[end:], self.peer.name)
        except IdentityError as error:
            self.tally.refuse(Breach.IMPOSTOR)
            raise ClosedError(str(error)) from error
        common.notary.knows(self.peer.party, public)

    async def run(self) -> None:
        """Talk until one of both hangs up. Raises ClosedError."""
        tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write())]
        if self.peer.party < self.common.me:
            own = self.common.credentials
            tasks += [asyncio.ensure_future(way.keep(self.peer, own)) for way in self.ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for way in self.ways:
                way.close()
            if self._leaving is not None:
                tasks.append(self._leaving)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def leave(self) -> None:
        """Have the conversation end when the peer has heard all that was said so far."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave())

    async def _leave(self) -> None:
        with suppress(ClosedError):
            await self.stream.finish()

    async def _read(self) -> None:
        while True:
            message = await self.stream.read()
            before = self.tally.wasted
            if message[:1] == bytes([SEEN]):
                await self._hear(message)
            else:
                aside = message[:1] in SAID
                for arrived in await self.aside.take(message) if aside else self.intake.take(message):
                    await self._arrived(arrived)
                self._watch()
            if self.tally.breaches() > self.limits.breaches:
                self.tally.bar(self.limits.penalty_seconds)
                raise ClosedError("too much that no honest party sends")
            if pause := self._pays(len(message), self.tally.wasted - before):
                await asyncio.sleep(pause)

    def _pays(self, size: int, wasted: int, chunks: int = 1) -> float:
        """Return how long nothing more is read from the peer: gRPC, or TCP, stops it meanwhile."""
        self.tally.bytes_in += size
        self.tally.chunks_in += chunks
        return max(self._bytes.take(size), self._chunks.take(chunks), self._wasted.take(wasted))

    async def _hear(self, message: bytes) -> None:
        try:
            true = await self.common.notary.hear(message)
        except GarbageError:
            self.tally.refuse(Breach.GARBAGE)
            return
        if not true:
            self.tally.refuse(Breach.FORGED)

    async def _arrived(self, arrived: Arrived) -> None:
        party = self.peer.party
        if not await self.common.notary.accepts(party, *arrived):
            self.tally.refuse(Breach.FORGED)
            return
        await self.common.inbox.put(self._taken(arrived))

    def _taken(self, arrived: Arrived) -> Message:
        self.tally.taken += 1
        self.tally.step = max(self.tally.step, arrived.topic.step)
        return Message(self.peer.party, self.common.me, arrived.topic, arrived.body)

    def _watch(self) -> None:
        """Set the clock for a value that has begun to arrive."""
        if self.intake.unfinished is self._timed:
            return
        self._timed = self.intake.unfinished
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timed is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.limits.frame_seconds, self._expire)

    def _expire(self) -> None:
        # Only what is not signed may arrive in part, so there is no signature to check.
        for arrived in self.intake.expire():
            self._offer(arrived)
        self._timer = self._timed = None

    def _offer(self, arrived: Arrived) -> None:
        if not self.common.inbox.offer(self._taken(arrived)):
            self.tally.refuse(Breach.CROWDED)

    def _made_lane(self) -> Lane:
        party = self.peer.party

        def taken(found: Datagrams) -> None:
            self.tally.partial += found.missing > 0
            self._offer(Arrived(found.topic, found.body, b""))

        return Lane(
            self.common.schema,
            lambda topic: self.common.judge(party, topic),
            self.tally,
            taken=taken,
            oust=self.stream.close,
            repeat=lambda: self.common.inbox.repeat(party),
        )

    async def _write(self) -> None:
        while True:
            if self.outbox.behind and not len(self.outbox):
                self.outbox.behind = False
                self.common.inbox.repeat(self.peer.party)
            said = await self.outbox.get()
            if isinstance(said, bytes):
                await self._send(said)
            else:
                await self._tell(said)

    async def _tell(self, message: Message) -> None:
        """Send a value; of one that may arrive in part, no more than its time and what follows it allow."""
        proof = await self.common.notary.prove(message)
        schema, kind = self.common.schema, message.topic.kind
        randomness = self.common.randomness.at("to", party=message.receiver)
        for way in self.ways:
            if way.carries(kind) and await way.send(message.topic, message.body, proof, randomness):
                self.tally.sent += 1
                return
        end = time.monotonic() + self.limits.frame_seconds
        for chunk in schema.messages(message.topic, message.body, proof, randomness):
            await self._send(chunk)
            if schema.partial(kind) and len(self.outbox) and time.monotonic() > end:
                break
        self.tally.sent += 1

    async def _send(self, message: bytes) -> None:
        await self.stream.write(message)
        self.tally.bytes_out += len(message)
        self.tally.chunks_out += 1
