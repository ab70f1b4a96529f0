"""Connections for large vectors: plain TCP, shown a token first, every byte after it sealed."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from varangian.engines.multiparty.address import in_words
from varangian.engines.multiparty.sealed import RECORD, TAG, TOKEN, ForgedError, Seals, records
from varangian.errors import ParameterError

GULP = 16
"""Records that are read before the loop is asked again: it counts them, and may have the peer wait."""
GREETING_SECONDS = 2.0
"""How long a connection may take to show a token."""
PENDING = 16
"""Connections that have shown none yet; one more, and the oldest goes."""
ACCEPT_SECONDS = 0.005
"""The pause after each connection, so that a flood of them waits in the kernel."""
OPTIONS = {"SO_KEEPALIVE": 1, "TCP_NODELAY": 1, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
EMPTY = memoryview(bytearray())
NAME = 8


class Channel:
    """One connection, both ends of which have shown that they have its keys; ``ended`` tells that it is over.

    Threads wait for the bytes, one for each direction that is in use.
    """

    def __init__(
        self, connection: socket.socket, seals: Seals, token: bytes, threads: ThreadPoolExecutor
    ) -> None:
        self.name, self.ended = token[:NAME], asyncio.Event()
        self._connection, self._seals, self._threads = connection, seals, threads
        self._jobs: set[Future[None]] = set()
        connection.setblocking(True)
        for option, value in OPTIONS.items():
            level = socket.SOL_SOCKET if option.startswith("SO_") else socket.IPPROTO_TCP
            if hasattr(socket, option):
                connection.setsockopt(level, getattr(socket, option), value)

    @property
    def sent(self) -> int:
        """Return the number of the next record that goes out."""
        return self._seals.out.index

    @property
    def taken(self) -> int:
        """Return the number of the next record that comes in."""
        return self._seals.into.index

    def lasts(self, total: int) -> bool:
        """Tell whether the key may be used for a value of so many bytes more."""
        return self._seals.out.lasts(records(total))

    async def send(self, data: memoryview) -> None:
        """Send a value. Raises OSError."""
        await self._job(self._push, data)

    async def receive(self, total: int, row: memoryview | None, pays: Callable[[int], float]) -> None:
        """Read a value to where it belongs, or to nowhere; ``pays`` returns what to wait for the bytes read.

        Raises      ForgedError, OSError
        """
        for start in range(0, max(1, total), GULP * RECORD):
            await self._job(self._pull, start, total, row)
            if pause := pays(min(total - start, GULP * RECORD)):
                await asyncio.sleep(pause)

    def close(self) -> None:
        """End the connection at once, whoever waits for it."""
        self.ended.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._part(None)

    def _push(self, data: memoryview) -> None:
        for start in range(0, max(1, len(data)), RECORD):
            piece = data[start : start + RECORD]
            sealed = self._seals.out.seal(piece, last=start + RECORD >= len(data))
            self._connection.sendall(sealed)

    def _pull(self, start: int, total: int, row: memoryview | None) -> None:
        seal = self._seals.into
        for at in range(start, max(1, min(total, start + GULP * RECORD)), RECORD):
            size = min(RECORD, total - at)
            sealed = seal.room(size)
            self._fill(sealed)
            if row is None:
                seal.skip()
            else:
                seal.open(sealed, row[at : at + size], last=at + RECORD >= total)

    def _fill(self, room: memoryview) -> None:
        got = 0
        while got < len(room):
            more = self._connection.recv_into(room[got:], 0, socket.MSG_WAITALL)
            if not more:
                raise ConnectionError("the peer has hung up")
            got += more

    async def _job(self, call: Callable[..., None], *given: Any) -> None:
        try:
            job = self._threads.submit(call, *given)
        except RuntimeError as error:
            raise ConnectionError("this party has ended") from error
        self._jobs.add(job)
        job.add_done_callback(self._part)
        await asyncio.wrap_future(job)

    def _part(self, job: Future[None] | None) -> None:
        """Close the socket when the last thread has left it: its number may be another's at once."""
        self._jobs.discard(job)
        if self.ended.is_set() and not self._jobs:
            self._connection.close()


class Door:
    """Where a party's connections come in. Each shows a token that was given out, once and in time, or goes.

    ``port`` is 0 while nobody listens. ``turned_away`` counts those without a token.
    """

    def __init__(self, peers: int) -> None:
        self.port, self.turned_away = 0, 0
        self.unreachable: set[int] = set()
        self.threads = ThreadPoolExecutor(2 * peers + 2, "bulk")
        self._expected: dict[bytes, tuple[Seals, Callable[[Channel], None]]] = {}
        self._greeted: dict[asyncio.Task[None], None] = {}
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises ParameterError where that cannot be."""
        loop, why = asyncio.get_running_loop(), OSError("no such address")
        with suppress(socket.gaierror):
            for family, _, _, _, place in await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                at = (place[0], self.port or port, *place[2:])
                try:
                    both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
                    made = socket.create_server(at, family=family, backlog=PENDING, dualstack_ipv6=both)
                except OSError as error:
                    why = error
                    continue
                made.setblocking(False)
                self.port = made.getsockname()[1]
                self._listeners.append(made)
        if not self._listeners:
            raise ParameterError(
                f"Cannot listen for large vectors at {host}:{port}: {in_words(why)}. "
                "End who listens there, if anybody does, or write another bulk_port in [limits]."
            )
        self._accepting = [asyncio.ensure_future(self._accept(one)) for one in self._listeners]

    def expect(self, token: bytes, seals: Seals, meet: Callable[[Channel], None], seconds: float) -> None:
        """Let in who shows the token within some seconds."""
        self._expected[token] = (seals, meet)
        asyncio.get_running_loop().call_later(seconds, self.forget, token)

    def forget(self, token: bytes) -> None:
        """Let in nobody with the token any more."""
        self._expected.pop(token, None)

    async def close(self) -> None:
        """Let in nobody any more."""
        tasks = (*self._accepting, *self._greeted)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        self.port = 0
        self.threads.shutdown(wait=False, cancel_futures=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError):
                connection, _ = await loop.sock_accept(listener)
                task = asyncio.ensure_future(self._greet(connection))
                self._greeted[task] = None
                task.add_done_callback(lambda done: self._greeted.pop(done, None))
                if len(self._greeted) > PENDING:
                    oldest = next(iter(self._greeted))
                    self._greeted.pop(oldest)
                    oldest.cancel()
            await asyncio.sleep(ACCEPT_SECONDS)

    async def _greet(self, connection: socket.socket) -> None:
        loop, channel = asyncio.get_running_loop(), None
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                said = await _exactly(connection, TOKEN + TAG)
                token = bytes(said[:TOKEN])
                seals, meet = self._found(token)
                seals.into.open(said[TOKEN:], EMPTY, last=True)
                await loop.sock_sendall(connection, seals.out.seal(EMPTY, last=True))
            channel = Channel(connection, seals, token, self.threads)
            meet(channel)
        except OSError:
            return
        finally:
            if channel is None:
                self.turned_away += 1
                connection.close()

    def _found(self, token: bytes) -> tuple[Seals, Callable[[Channel], None]]:
        """Return what a token is for, and forget it. Raises ForgedError."""
        found = [known for known in self._expected if hmac.compare_digest(known, token)]
        if not found:
            raise ForgedError("a token that was not given out, or was used, or is too old")
        return self._expected.pop(found[0])


async def dial(host: str, port: int, token: bytes, seals: Seals, threads: ThreadPoolExecutor) -> Channel:
    """Connect to a peer's door. Raises OSError, ForgedError where somebody else answers."""
    loop, why = asyncio.get_running_loop(), OSError("no such address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, place)
        except OSError as error:
            connection.close()
            why = error
            continue
        except BaseException:
            connection.close()
            raise
        try:
            await loop.sock_sendall(connection, token + seals.out.seal(EMPTY, last=True))
            seals.into.open(await _exactly(connection, TAG), EMPTY, last=True)
            return Channel(connection, seals, token, threads)
        except BaseException:
            connection.close()
            raise
    raise why


def new_token() -> bytes:
    """Return a token that nobody can guess."""
    return secrets.token_bytes(TOKEN)


async def _exactly(connection: socket.socket, size: int) -> memoryview:
    room, got, loop = memoryview(bytearray(size)), 0, asyncio.get_running_loop()
    while got < size:
        more = await loop.sock_recv_into(connection, room[got:])
        if not more:
            raise ConnectionError("the peer has hung up")
        got += more
    return room
