"""Datagrams between certified parties: QUIC, both ends with a certificate of the same authority."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from varangian.core.randomness import Stream
from varangian.engines.multiparty.datagrams import Arrived, Wire
from varangian.engines.multiparty.quicsetup import PACKET, Certified, ask_for_certificate, configured
from varangian.protocols import Body, Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BURST = 8
"""Datagrams that leave together: a clock tick is too long to wait after each."""
ENDINGS = 3
"""How often it is said in a datagram that all pieces were sent: once at least arrives nearly always."""
GRACE = 0.001
"""Seconds that pieces may come later than the word that all were sent, on a link that keeps their order."""
PULSE = 10.0
"""Seconds after which a silent connection is asked for a sign of life."""
ROOM = 1 << 22
"""Bytes that may wait in the kernel, if it allows so many: a value each of many peers."""
REFUSED = 0x100


Handler = Callable[[Arrived], None]


@runtime_checkable
class Receiver(Protocol):
    """What puts a peer's pieces together: an ``Assembly``, or what stands before one."""

    @property
    def next_deadline(self) -> float | None:
        """Return when the first of the open values has to be closed."""

    def take(self, datagram: bytes, now: float) -> list[Arrived]:
        """Take a datagram, and return the values that it closes."""

    def ended(self, topic: Topic) -> list[Arrived]:
        """Close a value, all of which was sent."""

    def expire(self, now: float) -> list[Arrived]:
        """Close what is open for too long."""


class Channel:
    """One connection: sends values at a steady rate, and puts together what comes.

    ``greet`` is shown the channel once ``peer``, the name in the other's certificate, is known to be its own,
    and returns what puts the peer's pieces together, and who wants the values; or None where nobody is to
    talk to that peer.
    ``grace`` is how many seconds pieces may come later than the word that all were sent.
    """

    def __init__(self, protocol: Any, greet: Greet, credentials: Certified, wire: Wire, grace: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol, self._quic = protocol, protocol._quic
        protocol.quic_event_received = self._heard
        self._pass, protocol.datagram_received = protocol.datagram_received, self._received
        # Values are sent at a steady rate already; to wait between two packets of a burst takes longer.
        self._quic._loss._pacer.update_rate = lambda **_: None
        self.greet, self.credentials, self.wire, self.grace = greet, credentials, wire, grace
        self.peer: str | None = None
        self.ready = asyncio.Event()
        self._assembly: Receiver | None = None
        self._handler: Handler | None = None
        self._over = asyncio.Event()
        self._endings = bytearray()
        self._alarm: asyncio.TimerHandle | None = None

    async def send(self, topic: Topic, body: Body, stream: Stream, rate: float, lost: float = 0.0) -> None:
        """Send a value at so many bytes a second, and say that all of it was sent.

        That word goes in datagrams, which wait for nothing, and for sure in the stream behind them. A share
        of the pieces can be ``lost`` on purpose, to try out what a bad link does.

        Raises      ConnectionError where the other end takes nothing more in the stream
        Randomness  the order of the pieces, and which are lost
        """
        start, sent = self._loop.time(), 0
        dice = stream.at("lost", step=topic.step).numpy()
        for count, datagram in enumerate(self.wire.cut(topic, body, stream), start=1):
            if dice.random() >= lost:
                self._quic.send_datagram_frame(datagram)
            sent += PACKET
            if count % BURST == 0:
                self._protocol.transmit()
                await asyncio.sleep(start + sent / rate - self._loop.time())
        ending = self.wire.head(topic, 0, 0)
        for _ in range(ENDINGS):
            self._quic.send_datagram_frame(ending)
        try:
            self._quic.send_stream_data(0, ending)
        except ValueError as error:  # the stream has an end already
            raise ConnectionError(str(error)) from error
        self._protocol.transmit()

    def close(self) -> None:
        """End the connection."""
        self._over.set()
        self._protocol.close()

    def abandon(self) -> None:
        """Give the socket back of a connection that this end has dialled."""
        if self._protocol._transport is not None:
            self._protocol._transport.close()

    async def closed(self) -> None:
        """Wait until either end has closed the connection, or nothing was heard for too long."""
        await self._over.wait()

    async def lasts(self) -> None:
        """Wait until the connection has ended, and keep it up as long as the other end does."""
        while True:
            with suppress(TimeoutError):
                # A wait_for that ends as its task is cancelled would forget that it was.
                async with asyncio.timeout(PULSE):
                    await self.closed()
                return
            self._quic.send_ping(0)
            self._protocol.transmit()

    def _received(self, data: bytes, address: Any) -> None:
        """Notice that the other end has closed: that event comes when its last packets cannot come any more.

        What is sent meanwhile is lost, and the time to wait grows with the slowest answer so far.
        """
        self._pass(data, address)
        if self._quic._close_event is not None:
            self._over.set()

    def _heard(self, event: Any) -> None:
        from aioquic.quic.events import (
            ConnectionTerminated,
            DatagramFrameReceived,
            HandshakeCompleted,
            StreamDataReceived,
        )

        if isinstance(event, HandshakeCompleted):
            self._meet()
        elif isinstance(event, ConnectionTerminated):
            self._over.set()
        elif self._assembly is not None and isinstance(event, DatagramFrameReceived):
            if (topic := self.wire.ending(event.data)) is not None:
                self._loop.call_later(self.grace, self._end, topic)
            else:
                self._hand_over(self._assembly.take(event.data, self._loop.time()))
        elif self._assembly is not None and isinstance(event, StreamDataReceived):
            self._endings += event.data
            while len(self._endings) >= self.wire.head_bytes:
                topic = self.wire.ending(bytes(self._endings[: self.wire.head_bytes]))
                del self._endings[: self.wire.head_bytes]
                if topic is not None:
                    self._loop.call_later(self.grace, self._end, topic)

    def _meet(self) -> None:
        """Find out who the peer is: the handshake has shown that it has the key of its certificate."""
        from aioquic.tls import Alert, verify_certificate
        from cryptography.x509.oid import NameOID

        certificate = self._quic.tls._peer_certificate
        name = None
        if certificate is not None:
            try:
                verify_certificate(certificate, cadata=self.credentials.authority)
                name = str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
            except (Alert, IndexError):
                name = None
        self.peer = name
        met = self.greet(self) if name is not None else None
        if met is None:
            self._quic.close(error_code=REFUSED, reason_phrase="no party that is known here")
            self._protocol.transmit()
            return
        self._assembly, self._handler = met
        self.ready.set()

    def _end(self, topic: Topic) -> None:
        assert self._assembly is not None
        self._hand_over(self._assembly.ended(topic))

    def _hand_over(self, arrived: list[Arrived]) -> None:
        assert self._assembly is not None
        assert self._handler is not None
        for one in arrived:
            self._handler(one)
        until = self._assembly.next_deadline
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if until is None else self._loop.call_at(until, self._expire)

    def _expire(self) -> None:
        assert self._assembly is not None
        self._hand_over(self._assembly.expire(self._loop.time()))


Greet = Callable[[Channel], tuple[Receiver, Handler] | None]


async def listen(
    host: str, port: int, credentials: Certified, wire: Wire, greet: Greet, grace: float = GRACE
) -> Any:
    """Listen for parties, and return the server; ``close()`` ends it.

    Who says hello is asked to say it again from where it says it is, before it is given any memory.

    Raises      MissingExtraError, OSError
    """
    configuration = configured(credentials, is_client=False)
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.asyncio.server import serve

    def protocol(quic: Any, stream_handler: Any = None) -> Any:
        ask_for_certificate(quic)
        made = QuicConnectionProtocol(quic, stream_handler)
        Channel(made, greet, credentials, wire, grace)
        return made

    server = await serve(host, port, configuration=configuration, create_protocol=protocol, retry=True)
    assert server._transport is not None
    server._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    return server


@asynccontextmanager
async def dial(
    host: str, port: int, name: str, credentials: Certified, wire: Wire, greet: Greet, grace: float = GRACE
) -> AsyncIterator[Channel]:
    """Connect to the party of this name. Raises ConnectionError if it is another, MissingExtraError."""
    configuration = configured(credentials, is_client=True)
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol

    configuration.server_name = name
    channels: list[Channel] = []

    def protocol(quic: Any, stream_handler: Any = None) -> Any:
        made = QuicConnectionProtocol(quic, stream_handler)
        channels.append(Channel(made, greet, credentials, wire, grace))
        return made

    try:
        async with connect(host, port, configuration=configuration, create_protocol=protocol):
            yield channels[0]
    finally:
        # Where somebody does not wait until the connection is out of the way, its socket stays open.
        for channel in channels:
            channel.abandon()
