"""Datagrams beside a conversation: one peer's gradients, while there is a channel for them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from varangian.core.randomness import Stream
from varangian.engines.multiparty.address import host_of, in_words, split_address
from varangian.engines.multiparty.budget import Budget
from varangian.engines.multiparty.datagrams import Arrived, Assembly, Waste
from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.link import Peer
from varangian.engines.multiparty.quic import Channel, Handler, Receiver, dial, listen
from varangian.engines.multiparty.tally import Breach, Tally
from varangian.engines.multiparty.wire import Schema
from varangian.errors import ParameterError
from varangian.protocols import Body, Refusal, Topic

FIRST_PAUSE = 0.05


async def welcome(
    schema: Schema, credentials: Credentials, address: str, port: int, lanes: Callable[[str], Lane | None]
) -> Any:
    """Take datagrams where the streams are taken, of those who have a lane; ``close()`` ends it.

    Raises      ParameterError where nobody can listen
    """
    host = host_of(address)

    def meet(channel: Channel) -> tuple[Receiver, Handler] | None:
        lane = None if channel.peer is None else lanes(channel.peer)
        return None if lane is None else lane.meet(channel)

    try:
        return await listen(host, port, credentials, schema.datagrams, meet, schema.limits.grace_seconds)
    except OSError as error:
        raise ParameterError(
            f"Cannot listen for datagrams at {host}:{port}: {in_words(error)}. End who takes them there, "
            "if anybody does, or write another place in [addresses] or [listen]."
        ) from error


class Lane:
    """Send to a peer at the agreed rate, and put together what comes, as long as it keeps to that rate.

    ``taken`` gets the values, ``oust`` is called when the peer is to be cut off, and ``repeat`` when a
    channel has ended: what was on its way may be gone.
    """

    def __init__(
        self,
        schema: Schema,
        judge: Callable[[Topic], Refusal | None],
        tally: Tally,
        *,
        taken: Handler,
        oust: Callable[[], None],
        repeat: Callable[[], None],
    ) -> None:
        self.schema, self.tally = schema, tally
        self.limits, self.wire = schema.limits, schema.datagrams
        self.taken, self.oust, self.repeat = taken, oust, repeat
        self.channel: Channel | None = None
        self._assembly = Assembly(self.wire, judge, self.limits.frame_seconds, self._wasted)
        self._budget = Budget(self.limits.datagram_bytes_per_second, self.limits.burst_seconds)
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    def meet(self, channel: Channel) -> tuple[Receiver, Handler] | None:
        """Take a channel for the one to talk over, whatever was before; none once this is closed."""
        if self._closed:
            return None
        before, self.channel = self.channel, channel
        if before is not None:
            before.close()
        self._watching = asyncio.ensure_future(self._watch(channel))
        return self, self.taken

    async def keep(self, peer: Peer, credentials: Credentials) -> None:
        """Dial the peer whenever there is no channel."""
        host, port = split_address(peer.address)
        pause = FIRST_PAUSE
        while True:
            with suppress(OSError):
                async with dial(
                    host, port, peer.name, credentials, self.wire, self.meet, self.limits.grace_seconds
                ) as channel:
                    pause = FIRST_PAUSE
                    await channel.lasts()
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.limits.backoff_seconds)

    def carries(self, kind: str) -> bool:
        """Tell whether values of a kind may lose something."""
        return self.schema.lossy(kind)

    async def send(self, topic: Topic, body: Body, proof: bytes, stream: Stream) -> bool:
        """Send a value, no longer than it may take; return False where there is no channel."""
        channel, limits = self.channel, self.limits
        if channel is None:
            return False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.frame_seconds):
                    await channel.send(topic, body, stream, limits.datagram_bytes_per_second, limits.lost)
        except ConnectionError:
            channel.close()
            return False
        self.tally.bytes_out += body.nbytes
        return True

    def close(self) -> None:
        """End the channel, and take none any more."""
        self._closed = True
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.close()

    @property
    def next_deadline(self) -> float | None:
        """Return when the first of the open values has to be closed."""
        return self._assembly.next_deadline

    def take(self, datagram: bytes, now: float) -> list[Arrived]:
        """Take a datagram, and return the values that it closes."""
        self.tally.bytes_in += len(datagram)
        self.tally.chunks_in += 1
        if self._budget.spares(len(datagram)):
            return self._assembly.take(datagram, now)
        self._breach(Breach.FLOOD)
        return []

    def ended(self, topic: Topic) -> list[Arrived]:
        """Close a value, all of which was sent; one of which nothing has come costs as much as all of it."""
        known = self._assembly.knows(topic)
        size = self.wire.head_bytes if known else self.wire.kinds[topic.kind].form.size
        if self._budget.spares(size):
            return self._assembly.ended(topic)
        self._breach(Breach.FLOOD)
        return []

    def expire(self, now: float) -> list[Arrived]:
        """Close what is open for too long."""
        return self._assembly.expire(now)

    def _wasted(self, why: Waste | Refusal) -> None:
        self.tally.wasted += 1
        if why is Waste.GARBAGE:
            self._breach(Breach.GARBAGE)
        elif isinstance(why, Refusal):
            self._breach(why)

    def _breach(self, why: Breach | Refusal) -> None:
        self.tally.refuse(why)
        if self.tally.breaches() > self.limits.breaches:
            self.tally.bar(self.limits.penalty_seconds)
            self.oust()

    async def _watch(self, channel: Channel) -> None:
        """Let go of a channel that has ended, and take what there is of the values that came over it."""
        await channel.closed()
        if self.channel is not channel:
            return
        self.channel = None
        for arrived in self._assembly.expire(math.inf):
            self.taken(arrived)
        self.repeat()
