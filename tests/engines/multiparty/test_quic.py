"""Datagrams between certified parties, over real sockets, through a network that loses and reorders."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from engines.multiparty.papers import Authority, Papers

from varangian.core.randomness import Stream
from varangian.engines.multiparty.datagrams import PIECE, Arrived, Assembly, Wire
from varangian.engines.multiparty.quic import Channel, dial, listen
from varangian.protocols import Form, Kind, Topic

LENGTH = 100 * PIECE // 4
RATE = 4e6
WIRE = Wire({"gradient": Kind(Form(np.dtype("float32"), LENGTH), frozenset({1}))})


AUTHORITY = Authority()


class Network(asyncio.DatagramProtocol):
    """Stand between a client and a server: lose, repeat and delay packets as told, in both directions."""

    def __init__(self, port: int, lost: float, repeated: float, delay: float) -> None:
        self.server, self.client = ("127.0.0.1", port), None
        self.lost, self.repeated, self.delay = lost, repeated, delay
        self.dice, self.counts, self.calm = random.Random(1), [0, 0], True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if address != self.server:
            self.client = address
        target = self.client if address == self.server else self.server
        self.counts[0] += 1
        if not self.calm and self.dice.random() < self.lost:
            self.counts[1] += 1
            return
        for _ in range(1 + (self.dice.random() < self.repeated)):
            late = self.dice.random() * self.delay
            asyncio.get_running_loop().call_later(late, self.transport.sendto, data, target)


class Meeting:
    """A server, and what arrives at it from whom."""

    def __init__(self, known: tuple[str, ...] = ("worker1",), seconds: float = 1.0) -> None:
        self.known, self.seconds = known, seconds
        self.arrived: asyncio.Queue[Arrived] = asyncio.Queue()
        self.met: list[str] = []
        self.assembly: Assembly | None = None
        self.channels: list[Channel] = []

    def greet(self, channel: Channel) -> tuple[Assembly, Callable[[Arrived], None]] | None:
        self.met.append(str(channel.peer))
        self.channels.append(channel)
        if channel.peer not in self.known:
            return None
        self.assembly = Assembly(WIRE, lambda _: None, self.seconds)
        return self.assembly, self.arrived.put_nowait

    @asynccontextmanager
    async def at(self, lost: float = 0.0, repeated: float = 0.0, delay: float = 0.0) -> Any:
        server = await listen("127.0.0.1", 0, AUTHORITY.issue("server0"), WIRE, self.greet)
        port = server._transport.get_extra_info("sockname")[1]
        loop = asyncio.get_running_loop()
        between, network = await loop.create_datagram_endpoint(
            lambda: Network(port, lost, repeated, delay), ("127.0.0.1", 0)
        )
        try:
            yield between.get_extra_info("sockname")[1], network
        finally:
            server.close()
            between.close()


def nobody(_: Channel) -> tuple[Assembly, Callable[[Arrived], None]]:
    return Assembly(WIRE, lambda _: None, 1.0), lambda _: None


def value(step: int) -> np.ndarray:
    return np.random.default_rng(step).normal(size=LENGTH).astype(np.float32)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(bounded())


@pytest.mark.parametrize(
    ("lost", "repeated", "delay"),
    [(0.0, 0.0, 0.0), (0.01, 0.01, 0.0), (0.1, 0.05, 0.004), (0.3, 0.0, 0.0)],
)
def test_values_come_with_what_the_network_left_of_them(lost: float, repeated: float, delay: float) -> None:
    async def story() -> None:
        meeting = Meeting()
        async with meeting.at(lost, repeated, delay) as (port, network):
            papers = AUTHORITY.issue("worker1")
            async with dial("127.0.0.1", port, "server0", papers, WIRE, nobody) as channel:
                await channel.ready.wait()
                network.calm = False
                missing = 0
                for step in range(5):
                    await channel.send(Topic(step, "gradient"), value(step), Stream(1), RATE)
                    arrived = await meeting.arrived.get()
                    assert arrived.topic.step == step
                    there = ~np.isnan(arrived.body)
                    assert np.array_equal(arrived.body[there], value(step)[there])
                    missing += arrived.missing
                network.calm = True
        assert network.counts[1] > 0 or not lost
        # On a busy machine a few come after the word that all were sent.
        assert missing <= network.counts[1] + 25
        assert missing > 0 or lost < 0.05
        assert meeting.met == ["worker1"]

    run(story)


def test_a_silent_end_is_a_deadline() -> None:
    async def story() -> None:
        meeting = Meeting(seconds=0.2)
        async with (
            meeting.at() as (port, _),
            dial("127.0.0.1", port, "server0", AUTHORITY.issue("worker1"), WIRE, nobody) as channel,
        ):
            await channel.ready.wait()
            for datagram in list(WIRE.cut(Topic(0, "gradient"), value(0), Stream(1)))[:40]:
                channel._quic.send_datagram_frame(datagram)
            channel._protocol.transmit()
            arrived = await meeting.arrived.get()
            assert 60 <= arrived.missing < 100

    run(story)


@asynccontextmanager
async def talking(meeting: Meeting) -> Any:
    """Yield both ends of a connection."""
    async with (
        meeting.at() as (port, _),
        dial("127.0.0.1", port, "server0", AUTHORITY.issue("worker1"), WIRE, nobody) as channel,
    ):
        await channel._protocol.ping()
        yield channel, meeting.channels[0]


def test_an_end_is_noticed_before_the_last_packets_are_out_of_the_way() -> None:
    async def story() -> None:
        async with talking(Meeting()) as (mine, others):
            others.close()
            await mine.lasts()
            assert not mine._protocol._closed.is_set()

    run(story)


def test_who_is_stopped_as_the_connection_ends_stops() -> None:
    async def story() -> None:
        async with talking(Meeting()) as (mine, _):
            keeping = asyncio.ensure_future(mine.lasts())
            await asyncio.sleep(0)
            mine.close()
            keeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await keeping

    run(story)


async def once(port: int, server: str, papers: Papers) -> None:
    async with dial("127.0.0.1", port, server, papers, WIRE, nobody) as channel:
        await channel.send(Topic(0, "gradient"), value(0), Stream(1), RATE)
        await channel._protocol.ping()


def refused(papers: Papers, server: str = "server0", known: tuple[str, ...] = ("worker1",)) -> Meeting:
    meeting = Meeting(known)

    async def story() -> None:
        async with meeting.at() as (port, _):
            with pytest.raises(ConnectionError):
                await once(port, server, papers)
            assert meeting.arrived.empty()

    run(story)
    return meeting


def test_a_certificate_of_another_authority_is_refused() -> None:
    other = Authority().issue("worker1")
    ours = AUTHORITY.issue("worker1")
    assert not refused(Papers(ours.authority, other.key, other.certificate)).met


def test_a_party_that_is_not_known_is_refused() -> None:
    assert refused(AUTHORITY.issue("worker2")).met == ["worker2"]


def test_a_server_of_another_name_is_refused() -> None:
    refused(AUTHORITY.issue("worker1"), server="server1")
