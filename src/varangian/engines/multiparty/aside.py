"""Large vectors beside a conversation: the stream has their heads and decides, a connection their bytes."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from varangian.core.randomness import Stream
from varangian.engines.multiparty.address import split_address
from varangian.engines.multiparty.budget import Budget
from varangian.engines.multiparty.bulk import NAME, Channel, Door, dial, new_token
from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.intake import Arrived, Intake
from varangian.engines.multiparty.link import ClosedError, Peer
from varangian.engines.multiparty.sealed import SECRET, TOKEN, ForgedError, derive
from varangian.engines.multiparty.tally import Breach, Tally
from varangian.engines.multiparty.wire import (
    ASIDE,
    BROKE,
    KNOCK,
    OFFER,
    TAKEN,
    GarbageError,
    Head,
    Schema,
    form_of,
    raw,
)
from varangian.protocols import Body, Topic

SAID = frozenset(bytes([said]) for said in (KNOCK, OFFER, ASIDE, TAKEN, BROKE))
FIRST_PAUSE = 0.05
ASKING_SECONDS = 60.0
"""Seconds for which a peer may have saved the right to ask for a connection."""
logger = logging.getLogger("varangian")
_OFFER = struct.Struct(f"<BH{TOKEN}s{SECRET}s")
_PLACE = struct.Struct(f"<B{NAME}sQ")
"""What is said, a connection's name, and the number of a value's first record there."""

Offer = tuple[int, bytes, bytes]


@dataclass
class _Sent:
    """A value of which the peer has not said yet that it came."""

    channel: Channel
    place: bytes
    came: asyncio.Future[bool]


class Aside:
    """Send large values to a peer beside the stream, and take what is said to come there.

    A value's head goes in the stream: it is judged there before there is memory for it, and the stream is not
    read on until the value is there. Its sender waits to hear that it came, and sends it in the stream if it
    did not. ``write`` says something in the stream; ``pays`` counts bytes and chunks, and returns how long
    nothing more is to be read.
    """

    def __init__(
        self,
        schema: Schema,
        intake: Intake,
        tally: Tally,
        door: Door,
        *,
        write: Callable[[bytes], Awaitable[None]],
        pays: Callable[[int, int, int], float],
    ) -> None:
        self.schema, self.limits, self.intake, self.tally = schema, schema.limits, intake, tally
        self.door, self.write, self.pays = door, write, pays
        self.channel: Channel | None = None
        self._asked = Budget(self.limits.links_per_second, ASKING_SECONDS)
        self._offer: asyncio.Future[Offer] | None = None
        self._token = b""
        self._sent: _Sent | None = None
        self._closed = False

    def carries(self, kind: str) -> bool:
        """Tell whether values of a kind are large, and wanted here."""
        return self.schema.bulky(kind)

    async def keep(self, peer: Peer, credentials: Credentials) -> None:
        """Ask for a connection whenever there is none, and dial; tell once if that cannot be."""
        pause = FIRST_PAUSE
        while self.schema.has_bulky:
            start = time.monotonic()
            try:
                channel = await self._dialled(peer)
            except ClosedError:
                raise
            except OSError as error:
                self._tell(peer, error)
            else:
                if channel is None:
                    break
                self._meet(channel)
                await channel.ended.wait()
            if time.monotonic() > start + 2 * self.limits.backoff_seconds + self.limits.hello_seconds:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.limits.backoff_seconds)
        await asyncio.get_running_loop().create_future()

    async def send(self, topic: Topic, body: Body, proof: bytes, stream: Stream) -> bool:
        """Send a value; return False where there is no connection, or it broke. Raises ClosedError."""
        channel = self.channel
        if channel is None:
            return False
        whole = channel.lasts(body.nbytes) and await self._send(channel, topic, body, proof)
        if whole:
            self.tally.bytes_out += body.nbytes
            self.tally.chunks_out += self._chunks(body.nbytes)
        else:
            self._drop(channel)
            await self.write(_PLACE.pack(BROKE, channel.name, 0))
        return whole

    def close(self) -> None:
        """End the connection, and expect none any more."""
        self._closed = True
        self.door.forget(self._token)
        if self.channel is not None:
            self._drop(self.channel)

    async def take(self, message: bytes) -> list[Arrived]:
        """Take what the peer says, and return the value that came of it, and what it cut short.

        Raises      ClosedError
        """
        try:
            return await self._take(message)
        except (GarbageError, struct.error):
            self.tally.refuse(Breach.GARBAGE)
            self.tally.wasted += 1
            return self.intake.expire()

    async def _take(self, message: bytes) -> list[Arrived]:
        said = message[0]
        if said == KNOCK:
            await self._answer(message)
        elif said == OFFER:
            _, *offer = _OFFER.unpack(message)
            if self._offer is not None and not self._offer.done():
                self._offer.set_result(tuple(offer))
        elif said == ASIDE:
            return await self._receive(message)
        elif said == TAKEN:
            if self._sent is not None and self._sent.place == message[1:] and not self._sent.came.done():
                self._sent.came.set_result(True)
        elif self.channel is not None and self.channel.name == _PLACE.unpack(message)[1]:
            self._drop(self.channel)
        return []

    async def _send(self, channel: Channel, topic: Topic, body: Body, proof: bytes) -> bool:
        """Send a value's head and its bytes, and tell whether it came."""
        place = _PLACE.pack(ASIDE, channel.name, channel.sent)
        self._sent = _Sent(channel, place[1:], asyncio.get_running_loop().create_future())
        try:
            await self.write(place + self.schema.prefix(Head(topic, body.nbytes, proof)))
            await channel.send(raw(body))
            return await self._sent.came
        except ClosedError:
            raise
        except OSError:
            return False
        finally:
            self._sent = None

    async def _answer(self, message: bytes) -> None:
        """Offer the peer a connection, or port 0 where there is none."""
        dialler = message[1:]
        if len(dialler) != SECRET:
            raise GarbageError
        if not self._asked.spares(1):
            self.tally.refuse(Breach.FLOOD)
            return
        self.door.forget(self._token)
        self._token, listener = new_token(), secrets.token_bytes(SECRET)
        seals = derive(dialler, listener, self._token, dialled=False)
        self.door.expect(self._token, seals, self._meet, self.limits.hello_seconds)
        await self.write(_OFFER.pack(OFFER, self.door.port, self._token, listener))

    async def _dialled(self, peer: Peer) -> Channel | None:
        """Return a new connection, or None where the peer takes none. Raises OSError."""
        self._offer, dialler = asyncio.get_running_loop().create_future(), secrets.token_bytes(SECRET)
        await self.write(bytes([KNOCK]) + dialler)
        async with asyncio.timeout(self.limits.hello_seconds):
            port, token, listener = await self._offer
        if port == 0:
            return None
        host, _ = split_address(peer.address)
        seals = derive(dialler, listener, token, dialled=True)
        async with asyncio.timeout(self.limits.hello_seconds):
            return await dial(host, port, token, seals, self.door.threads)

    def _tell(self, peer: Peer, error: OSError) -> None:
        if peer.party not in self.door.unreachable:
            self.door.unreachable.add(peer.party)
            logger.warning(
                "Large vectors go to %s and back over gRPC, which is slower: its port for them cannot be "
                "reached (%s). Let a port through and write it as [limits] bulk_port, or write bulk = false.",
                peer.name,
                str(error) or "no answer",
            )

    def _meet(self, channel: Channel) -> None:
        """Take a channel for the one to use, whatever was before."""
        before, self.channel = self.channel, channel
        if before is not None:
            self._drop(before)
        if self._closed:
            self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        """End a channel; what was sent there and not heard of goes in the stream."""
        channel.close()
        if self.channel is channel:
            self.channel = None
        if self._sent is not None and self._sent.channel is channel and not self._sent.came.done():
            self._sent.came.set_result(False)

    async def _receive(self, message: bytes) -> list[Arrived]:
        """Read the value that a head is about."""
        place = message[: _PLACE.size]
        _, name, first = _PLACE.unpack(place)
        head, _ = self.schema.head(message[_PLACE.size :])
        arrived, channel = self.intake.expire(), self.channel
        if channel is not None and channel.name == name:
            row = self.intake.admit(head)
            if first == channel.taken and await self._read(channel, head, row):
                if row is not None:
                    arrived.append(Arrived(head.topic, row, head.proof))
                await self.write(bytes([TAKEN]) + place[1:])
                return arrived
            self._drop(channel)
        await self.write(_PLACE.pack(BROKE, name, 0))
        return arrived

    async def _read(self, channel: Channel, head: Head, row: Body | None) -> bool:
        """Fill a row, or read past what is refused; tell whether that was possible."""
        form = form_of(self.schema, head.topic)
        if form is None or head.total != form.size:
            return False
        try:
            async with asyncio.timeout(self.limits.frame_seconds):
                await channel.receive(head.total, None if row is None else raw(row), self._counted)
        except ForgedError:
            self.tally.refuse(Breach.BROKEN)
        except OSError:
            self.tally.refuse(Breach.UNFINISHED)
        else:
            if row is None:
                self.tally.wasted += self._chunks(head.total)
            return True
        return False

    def _counted(self, size: int) -> float:
        return self.pays(size, 0, self._chunks(size))

    def _chunks(self, size: int) -> int:
        return max(1, -(-size // self.limits.chunk_bytes))
