"""Connections: gRPC streams of raw bytes, both ends certified; the party with the higher number dials."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from varangian.engines.multiparty.address import obstacle
from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.limits import Limits
from varangian.engines.multiparty.wire import BYE, SLACK
from varangian.errors import MissingExtraError, ParameterError

logger = logging.getLogger("varangian")

SERVICE, METHOD, STATUS = "varangian.v1.Party", "Talk", "Status"
SIGNS = {
    "certificate": "it shows a certificate that is not valid here. Both need keys that one "
    "authority has made, and that have not expired: varangian keys.",
    "hostname verification": "who answers at its address shows the certificate of another party. "
    "Is the address right?",
    "errors resolving": "no machine of the name in its address is known. Is the address right?",
}
"""Signs in what gRPC says, in small letters, that a connection cannot be; and what there is to do."""


@dataclass(frozen=True)
class Peer:
    """Another party: its number, the name in its certificate, and where it listens, if this party dials."""

    party: int
    name: str
    address: str | None = None


class ClosedError(ConnectionError):
    """A connection that is no more."""


class LeftError(ClosedError):
    """A connection whose other end has said goodbye."""


class UnfitError(ClosedError):
    """A connection that cannot be until somebody puts something right, and what."""


@contextmanager
def until_closed(me: str, peer: str, told: set[str]) -> Iterator[list[ClosedError]]:
    """End with a connection; say what somebody has to put right, unless it is among what was told.

    What ended it is in the list then. So ends a conversation that fails in a way nobody has thought of:
    there are others to talk to.
    """
    ends: list[ClosedError] = []
    try:
        yield ends
    except ClosedError as error:
        ends.append(error)
        if isinstance(error, UnfitError) and str(error) not in told:
            told.add(str(error))
            logger.warning("%s cannot talk to %s: %s", me, peer, error)
    except Exception as error:
        if type(error).__name__ not in told:
            told.add(type(error).__name__)
            logger.exception("%s broke off a talk with %s", me, peer)


class Stream:
    """One connection, whichever end dialled it: ``close`` ends it at once, ``finish`` when all has arrived.

    It is the end that dialled which hangs up, since the other's last words could get lost with a connection
    that it ends itself: so that one says goodbye after them, and waits.
    """

    def __init__(self, call: Any, close: Callable[[], Any], finish: Callable[[], Awaitable[Any]]) -> None:
        self._call, self.close, self._finish = call, close, finish
        self._turn = asyncio.Lock()

    async def read(self) -> bytes:
        """Return the next message. Raises ClosedError."""
        try:
            message = await self._call.read()
        except _broken() as error:
            raise _closed(error) from error
        if not isinstance(message, bytes):
            raise ClosedError("the peer has hung up")
        if message == bytes([BYE]):
            await self.finish()
            raise LeftError("the peer has left")
        return message

    async def write(self, message: bytes) -> None:
        """Send a message, once there is room for it on the way. Raises ClosedError."""
        try:
            async with self._turn:
                await self._call.write(message)
        except _broken() as error:
            raise _closed(error) from error

    async def finish(self) -> None:
        """Have the connection end once the other end has read all that was sent. Raises ClosedError."""
        try:
            await self._finish()
        except _broken() as error:
            raise ClosedError(str(error)) from error


Talk = Callable[[str, Stream], Awaitable[None]]


async def listen(
    credentials: Credentials,
    address: str,
    limits: Limits,
    peers: int,
    talk: Talk,
    status: Callable[[], Mapping[str, Any]],
) -> tuple[Any, int]:
    """Take connections, each with the name in its certificate; return the server and its port.

    ``talk`` decides what becomes of a connection, which ends with it. Whoever has a certificate may ask for
    the ``status``.

    Raises      ParameterError where nobody can listen
    """
    grpc = library()

    async def handler(_: Any, context: Any) -> None:
        names = context.auth_context().get("x509_common_name", [])
        ended = asyncio.Event()

        async def goodbye() -> None:
            await context.write(bytes([BYE]))

        stream = Stream(context, ended.set, goodbye)
        tasks = [
            asyncio.ensure_future(talk(names[0].decode() if names else "", stream)),
            asyncio.ensure_future(ended.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def told(_: bytes, __: Any) -> bytes:
        return json.dumps(status()).encode()

    server = grpc.aio.server(options=_options(limits), maximum_concurrent_rpcs=4 * peers + 4)
    handlers = {
        METHOD: grpc.stream_stream_rpc_method_handler(handler),
        STATUS: grpc.unary_unary_rpc_method_handler(told),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    own = grpc.ssl_server_credentials(
        [(credentials.key, credentials.certificate)], credentials.authority, require_client_auth=True
    )
    try:
        port = server.add_secure_port(address, own)
    except RuntimeError as error:
        raise ParameterError(
            f"Cannot listen at {address}: {obstacle(address)}. End who listens there, if anybody does, "
            "or write another place in [addresses] or [listen]."
        ) from error
    await server.start()
    return server, port


async def dial(credentials: Credentials, peer: Peer, limits: Limits, talk: Talk) -> None:
    """Connect to a peer, make sure that it is the one, and talk until one of both hangs up.

    Raises      ClosedError
    """
    async with _channel(credentials, peer, limits) as channel:
        call = channel.stream_stream(f"/{SERVICE}/{METHOD}")()
        try:
            await talk(peer.name, Stream(call, call.cancel, call.done_writing))
        finally:
            call.cancel()


async def ask(credentials: Credentials, peer: Peer, limits: Limits, seconds: float) -> Any:
    """Return a peer's status, whatever JSON it makes of that. Raises ClosedError."""
    async with _channel(credentials, peer, limits) as channel:
        try:
            answer = await channel.unary_unary(f"/{SERVICE}/{STATUS}")(b"", timeout=seconds)
        except _broken() as error:
            raise ClosedError(str(error)) from error
    try:
        return json.loads(answer)
    except ValueError as error:
        raise ClosedError("no status") from error


def _channel(credentials: Credentials, peer: Peer, limits: Limits) -> Any:
    grpc = library()
    own = grpc.ssl_channel_credentials(credentials.authority, credentials.key, credentials.certificate)
    options = [
        *_options(limits),
        ("grpc.ssl_target_name_override", peer.name),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    return grpc.aio.secure_channel(peer.address, own, options=options)


def library() -> Any:
    """Return gRPC. Raises MissingExtraError."""
    try:
        import grpc.aio
    except ImportError as error:
        raise MissingExtraError("The engine multiparty", "multiparty") from error
    return grpc


def _broken() -> tuple[type[BaseException], ...]:
    """Return what gRPC raises on a connection that is no more."""
    grpc = library()
    return (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)


def _closed(error: BaseException) -> ClosedError:
    """Return what an end of a connection means."""
    why = getattr(error, "details", lambda: None)() or str(error)
    return next((UnfitError(told) for sign, told in SIGNS.items() if sign in why.lower()), ClosedError(why))


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.chunk_bytes + SLACK),
        ("grpc.max_send_message_length", limits.chunk_bytes + SLACK),
        ("grpc.max_metadata_size", 8192),
        ("grpc.max_concurrent_streams", 2),
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", round(1000 * limits.hello_seconds)),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]
