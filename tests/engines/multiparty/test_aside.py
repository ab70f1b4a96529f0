"""Large vectors beside the stream: the same numbers, whoever is on the way, and the same limits."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines.multiparty.parties import AUTHORITY, Town, until
from engines.multiparty.relay import Meddle, Relay
from engines.multiparty.toy import toy

import varangian as vg
from varangian.engines.multiparty import Host, Limits
from varangian.engines.multiparty import aside as module
from varangian.engines.multiparty.aside import Aside
from varangian.engines.multiparty.bulk import Channel, Door
from varangian.engines.multiparty.bulk import dial as dial_door
from varangian.engines.multiparty.cluster import free_ports
from varangian.engines.multiparty.link import ClosedError, Stream, dial
from varangian.engines.multiparty.sealed import RECORD, TAG, derive
from varangian.engines.multiparty.wire import ASIDE, ASK, GONE, HELLO, OFFER, TAKEN, Head
from varangian.engines.roles import task_of
from varangian.engines.world import World
from varangian.protocols import Single, Topic
from varangian.protocols.server import GRADIENT, MODEL

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


async def stopped(running: asyncio.Future[None], host: Host) -> None:
    """Stop hosts, one of which is to be in one piece."""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    host._thread.shutdown(wait=True)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all values that went beside the stream."""
    found: list[int] = []
    send = Channel.send

    async def counted(self: Channel, data: memoryview) -> None:
        await send(self, data)
        found.append(len(data))

    monkeypatch.setattr(Channel, "send", counted)
    return found


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have large vectors wait for a connection, so that all of them go over one."""
    send = Aside.send

    async def waited(self: Aside, *given: Any) -> bool:
        await until(lambda: self.channel is not None)
        return await send(self, *given)

    monkeypatch.setattr(Aside, "send", waited)


@pytest.mark.usefixtures("waiting")
def test_the_numbers_are_those_of_the_stream(sizes: list[int]) -> None:
    spec = vg.Experiment(
        workers=4,
        byzantine=1,
        rule=vg.TrimmedMean(f=1),
        attack=vg.ALittleIsEnough(z=1.5),
        steps=10,
        model="logistic",
        evaluate_every=10,
    )
    topology = Single(workers=4, byzantine_workers=1, patience=60.0)

    def trained(limits: Limits) -> Any:
        task = task_of(World.of(spec), topology)
        town = Town(topology, lambda party: topology.node(party, task), limits)
        hosts = [town.host(party) for party in range(topology.n)]
        asyncio.run(town.run(hosts))
        return theta(hosts[0])

    beside = trained(Limits(bulk_bytes=1000))
    assert len(sizes) >= 10 * 2 * 4
    in_stream = trained(Limits(bulk=False))
    np.testing.assert_array_equal(beside, in_stream)


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("loopback", ["127.0.0.1", "[::1]"])
def test_all_large_vectors_go_beside_the_stream(sizes: list[int], loopback: str) -> None:
    town, hosts = hosts_of(loopback=loopback)
    asyncio.run(town.run(hosts))
    assert (theta(hosts[0]) == 2.0 * STEPS).all()
    assert len(sizes) >= STEPS * 2 * 3
    assert set(sizes) == {4 * D}
    assert all(tally.bytes_in > STEPS * 4 * D for tally in hosts[0].tallies.values())
    assert not any(tally.refused for host in hosts for tally in host.tallies.values())


def test_small_ones_open_no_door() -> None:
    town, hosts = hosts_of(limits=replace(LIMITS, bulk_bytes=4 * D + 1))
    asyncio.run(town.run(hosts))
    assert hosts[0]._common.door.port == 0
    assert (theta(hosts[0]) == 2.0 * STEPS).all()


@pytest.mark.parametrize("without", [0, 1])
def test_who_wants_none_gets_none(sizes: list[int], without: int) -> None:
    town, hosts = hosts_of()
    some = [town.host(party, limits=replace(LIMITS, bulk=False)) for party in (0, 1, 2, 3)]
    mixed = [some[0], *hosts[1:]] if without == 0 else [hosts[0], *some[1:]]
    asyncio.run(town.run(mixed))
    assert (theta(mixed[0]) == 2.0 * STEPS).all()
    assert not sizes


def test_where_no_connection_comes_through_the_stream_has_them_and_that_is_said_once(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened, tries = Door.open, []

    async def behind_a_wall(self: Door, host: str, port: int) -> None:
        await opened(self, host, port)
        self.port = free_ports(1)[0]

    async def tried(*given: Any) -> Channel:
        tries.append(given[1])
        return await dial_door(*given)

    monkeypatch.setattr(Door, "open", behind_a_wall)
    monkeypatch.setattr(module, "dial", tried)
    town, hosts = hosts_of(steps=10**6)

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts))
        await until(lambda: len(tries) >= 9 and hosts[0].node.step > STEPS)
        await stopped(running, hosts[0])

    with caplog.at_level(logging.WARNING, "varangian"):
        asyncio.run(scene())
    assert not sizes
    assert (theta(hosts[0]) == 2.0 * hosts[0].node.step).all()
    told = [record.getMessage() for record in caplog.records if record.name == "varangian"]
    assert len(told) == 3
    assert all("Large vectors go to server0 and back over gRPC" in one and "bulk_port" in one for one in told)


class Sometimes:
    """Leave alone all pieces but each fifth."""

    def __init__(self, meddle: Meddle) -> None:
        self.meddle, self.count = meddle, 0

    def __call__(self, piece: bytes) -> bytes | None:
        self.count += 1
        return self.meddle(piece) if self.count % 5 == 0 else piece


@pytest.mark.parametrize(
    ("meddle", "reason"),
    [(lambda piece: bytes([piece[0] ^ 1]) + piece[1:], "broken"), (lambda piece: None, "unfinished")],
    ids=["flips a bit", "cuts the line"],
)
def test_who_is_on_the_way_changes_nothing_and_brings_nobody_into_disrepute(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch, meddle: Meddle, reason: str
) -> None:
    opened, meddled = Door.open, Sometimes(meddle)

    async def overheard(self: Door, host: str, port: int) -> None:
        await opened(self, host, port)
        self.port = await Relay(self.port, RECORD + TAG, meddled).open()

    monkeypatch.setattr(Door, "open", overheard)
    town, hosts = hosts_of(steps=10**6)

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts))
        await until(lambda: meddled.count > 25 and hosts[0].node.step > STEPS)
        await stopped(running, hosts[0])

    asyncio.run(scene())
    assert (theta(hosts[0]) == 2.0 * hosts[0].node.step).all()
    counts = [host.status()["peers"][f"worker{party}"]["refused"] for host in hosts[:1] for party in range(3)]
    assert sum(count.get(reason, 0) for count in counts) >= 4
    assert not any(tally.breaches() or tally.barred for tally in hosts[0].tallies.values())


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
        await self.stream.write(bytes([ASK]) + dialler)
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
        said = [bytes([what]) + self.channel.name for what in (TAKEN, GONE)]
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


@pytest.mark.parametrize("total", [0, 4 * D - 4, 4 * D + 4, 10 << 30])
def test_another_length_than_agreed_is_refused_before_there_is_memory_for_it(total: int) -> None:
    async def behaviour(liar: Liar) -> None:
        await liar.announces(Topic(0, GRADIENT), total)
        assert liar.channel.name in await liar.hears(GONE)
        assert liar.refused == {"malformed": 1}
        assert not liar.status["bulk"]

    besieged(behaviour)


def test_what_nobody_may_say_or_has_said_is_read_and_forgotten() -> None:
    async def behaviour(liar: Liar) -> None:
        assert await liar.sends(Topic(0, MODEL)) == TAKEN
        assert liar.refused == {"stranger": 1}
        assert await liar.sends(Topic(1, GRADIENT)) == TAKEN
        await until(lambda: liar.host.node.mailbox.has(Topic(1, GRADIENT), 1))
        assert await liar.sends(Topic(1, GRADIENT)) == TAKEN
        assert liar.refused == {"stranger": 1, "repeated": 1}
        assert (liar.status["taken"], liar.status["wasted"]) == (1, 2)

    besieged(behaviour)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.75])
def test_who_says_half_a_vector_is_not_waited_for(part: float) -> None:
    async def behaviour(liar: Liar) -> None:
        await liar.announces(Topic(0, GRADIENT))
        seal, connection = liar.channel._seals.out, liar.channel._connection
        record = bytes(seal.seal(memoryview(bytes(RECORD)), last=False))
        connection.sendall((record + record)[: int(part * 2 * len(record))])
        await liar.hears(GONE)
        assert liar.refused == {"unfinished": 1}
        assert not liar.status["bulk"]

    besieged(behaviour, replace(LIMITS, frame_seconds=0.5))


def test_who_is_killed_in_mid_vector_is_gone_and_may_come_back() -> None:
    async def behaviour(liar: Liar) -> None:
        await liar.announces(Topic(0, GRADIENT))
        seal = liar.channel._seals.out
        liar.channel._connection.sendall(seal.seal(memoryview(bytes(RECORD)), last=False))
        liar.channel.close()
        liar.stream.close()
        await until(lambda: 1 not in liar.host._talks)

    server = besieged(behaviour)
    assert server.tallies[1].links == 2
    assert (theta(server) == 2.0 * STEPS).all()


@pytest.mark.parametrize("wrong", ["name", "number"])
def test_a_head_that_is_out_of_place_ends_no_more_than_the_connection(wrong: str) -> None:
    async def behaviour(liar: Liar) -> None:
        if wrong == "name":
            await liar.announces(Topic(0, GRADIENT), name=b"somebody")
            assert b"somebody" in await liar.hears(GONE)
            assert await liar.sends(Topic(0, GRADIENT)) == TAKEN
        else:
            await liar.announces(Topic(0, GRADIENT), first=0)
            await liar.hears(GONE)
            assert not liar.status["bulk"]
            await liar.enter()
            assert await liar.sends(Topic(0, GRADIENT)) == TAKEN

    besieged(behaviour)


@pytest.mark.parametrize("what", [ASK, OFFER, ASIDE, GONE])
def test_garbage_is_counted(what: int) -> None:
    async def behaviour(liar: Liar) -> None:
        await liar.stream.write(bytes([what]) + b"garbage")
        await until(lambda: liar.refused == {"garbage": 1})

    besieged(behaviour)


def test_who_asks_again_and_again_is_cut_off() -> None:
    async def behaviour(liar: Liar) -> None:
        for _ in range(200):
            await liar.stream.write(bytes([ASK]) + secrets.token_bytes(32))
        await until(lambda: 1 not in liar.host._talks)

    server = besieged(behaviour)
    assert server.status()["peers"]["worker0"]["refused"]["flood"] > LIMITS.breaches
    assert not server._common.door._expected


def test_a_rate_holds_beside_the_stream_too() -> None:
    async def behaviour(liar: Liar) -> None:
        start = time.monotonic()
        for step in range(3):
            assert await liar.sends(Topic(step, GRADIENT)) == TAKEN
        assert time.monotonic() - start > 2 * 4 * D / rate

    rate = 4e7
    besieged(behaviour, replace(LIMITS, bytes_per_second=rate, burst_seconds=0.01))


def test_what_comes_faster_than_the_node_takes_it_waits_at_its_sender() -> None:
    async def behaviour(liar: Liar) -> None:
        inbox, offer = liar.host._common.inbox, liar.host._common.inbox.offer
        inbox.offer = lambda message: False  # type: ignore[method-assign]
        assert await liar.sends(Topic(0, GRADIENT)) == TAKEN
        await liar.announces(Topic(1, GRADIENT))
        sending = asyncio.ensure_future(liar.channel.send(memoryview(bytes(4 * D))))
        await asyncio.sleep(0.2)
        assert not any(message[0] == TAKEN for message in liar.heard)
        inbox.offer = offer  # type: ignore[method-assign]
        inbox._room[1].set()
        await liar.hears(TAKEN)
        await sending

    besieged(behaviour)


def test_a_connection_is_made_anew_when_its_keys_have_seen_enough(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varangian.engines.multiparty.sealed.MOST", 9)
    town, hosts = hosts_of(steps=10**6)
    names: set[bytes] = set()

    def looked() -> bool:
        names.update(talk.aside.channel.name for talk in hosts[0]._talks.values() if talk.aside.channel)
        return len(names) >= 7

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts))
        await until(looked)
        await stopped(running, hosts[0])

    asyncio.run(scene())
    assert len(sizes) > 12
    assert (theta(hosts[0]) == 2.0 * hosts[0].node.step).all()
    assert not any(tally.refused for tally in hosts[0].tallies.values())
