"""A worker that does what it likes where large vectors go."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from engines.multiparty.parties import AUTHORITY, Town, until
from engines.multiparty.toy import toy

from varangian.engines.multiparty import Host, Limits
from varangian.engines.multiparty.bulk import Channel
from varangian.engines.multiparty.bulk import dial as dial_door
from varangian.engines.multiparty.link import ClosedError, Stream, dial
from varangian.engines.multiparty.sealed import RECORD, derive
from varangian.engines.multiparty.wire import ASIDE, BROKE, HELLO, KNOCK, OFFER, TAKEN, Head
from varangian.protocols import Single, Topic

D = 2 * RECORD // 4
"""Two records of float32."""
STEPS = 8
SINGLE = Single(workers=3, patience=60.0)
LIMITS = Limits()
BODY = np.full(D, 7, np.float32)


def hosts_of(
    steps: int = STEPS, limits: Limits = LIMITS, loopback: str = "127.0.0.1"
) -> tuple[Town, list[Host]]:
    task = toy(D, steps)
    town = Town(SINGLE, lambda party: SINGLE.node(party, task), limits, loopback)
    return town, [town.host(party) for party in range(SINGLE.n)]


def theta(host: Host) -> Any:
    return host.node.keeper.theta  # type: ignore[attr-defined]


class Liar:
    """Worker 0's own connections, to do what it likes with."""

    def __init__(self, town: Town, host: Host, stream: Stream) -> None:
        self.town, self.host, self.stream = town, host, stream
        self.schema = host._common.schema
        self.heard: list[bytes] = []
        self.channel: Channel

    async def enter(self) -> None:
        """Ask for a connection, and open it."""
        dialler = secrets.token_bytes(32)
        await self.stream.write(bytes([KNOCK]) + dialler)
        _, port, token, listener = struct.unpack("<BH32s32s", await self.hears(OFFER))
        seals = derive(dialler, listener, token, dialled=True)
        self.channel = await dial_door("127.0.0.1", port, token, seals, self.host._common.door.threads)
        await until(lambda: self.status["bulk"])

    async def hears(self, what: int) -> bytes:
        """Return the next message of a kind."""
        await until(lambda: any(message[0] == what for message in self.heard))
        found = next(message for message in self.heard if message[0] == what)
        self.heard.remove(found)
        return found

    async def listens(self) -> None:
        while True:
            message = await self.stream.read()
            self.heard.append(message)

    async def announces(
        self, topic: Topic, total: int = 4 * D, name: bytes | None = None, first: int | None = None
    ) -> None:
        """Say that a value comes beside the stream."""
        name = self.channel.name if name is None else name
        place = struct.pack("<B8sQ", ASIDE, name, self.channel.sent if first is None else first)
        await self.stream.write(place + self.schema.prefix(Head(topic, total)))

    async def sends(self, topic: Topic, body: Any = BODY) -> int:
        """Send a value, and return what is said of it."""
        await self.announces(topic, body.nbytes)
        await self.channel.send(memoryview(body).cast("B"))
        said = [bytes([what]) + self.channel.name for what in (TAKEN, BROKE)]
        await until(lambda: any(message[:9] in said for message in self.heard))
        found = next(message for message in self.heard if message[:9] in said)
        self.heard.remove(found)
        return found[0]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.host.status()["peers"]["worker0"]
        return status

    @property
    def refused(self) -> dict[str, int]:
        counts: dict[str, int] = self.status["refused"]
        return counts


def besieged(behaviour: Callable[[Liar], Awaitable[None]], limits: Limits = LIMITS) -> Host:
    """Let worker 0 lie to a server that waits for the others; then train with an honest one in its place."""
    town, hosts = hosts_of(limits=replace(limits, penalty_seconds=0.1))
    server, own = hosts[0], AUTHORITY.issued("worker0")

    async def talk(_: str, stream: Stream) -> None:
        liar = Liar(town, server, stream)
        await stream.write(bytes([HELLO]) + liar.schema.fingerprint + own.certificate)
        listening = asyncio.ensure_future(liar.listens())
        try:
            await liar.enter()
            await behaviour(liar)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, ClosedError):
                await listening
            liar.channel.close()

    async def scene() -> None:
        running = asyncio.ensure_future(server.run())
        await until(lambda: server.port > 0)
        with suppress(ClosedError):
            await dial(own, town.peers[0], limits, talk)
        await asyncio.gather(town.run(hosts[1:]), running)

    asyncio.run(scene())
    assert theta(server).min() >= 2.0 * STEPS
    assert (theta(server) == theta(server)[0]).all()
    return server
