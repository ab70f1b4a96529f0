"""Large vectors beside the stream: the same numbers, whoever is on the way, and the same limits."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines.multiparty.intruder import LIMITS, STEPS, D, hosts_of, theta
from engines.multiparty.parties import Town, until
from engines.multiparty.relay import Meddle, Relay

import varangian as vg
from varangian.engines.multiparty import Host, Limits
from varangian.engines.multiparty import aside as module
from varangian.engines.multiparty.aside import Aside
from varangian.engines.multiparty.bulk import Channel, Door
from varangian.engines.multiparty.bulk import dial as dial_door
from varangian.engines.multiparty.cluster import free_ports
from varangian.engines.multiparty.sealed import RECORD, TAG
from varangian.engines.roles import task_of
from varangian.engines.world import World
from varangian.errors import ParameterError
from varangian.protocols import Refusal, Single


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


def test_a_start_that_fails_leaves_nobody_listening() -> None:
    host = hosts_of()[1][0]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host.address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ParameterError, match="Cannot listen at"):
            asyncio.run(host.run())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", host._common.door.port)).close()


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
    again = {Refusal.REPEATED, Refusal.LATE}  # as when a link comes up while the first model is on its way
    assert not any(set(tally.refused) - again for host in hosts for tally in host.tallies.values())


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


def test_a_connection_is_made_anew_when_its_keys_have_seen_enough(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varangian.engines.multiparty.sealed.MOST", 9)
    town, hosts = hosts_of(steps=10**6)
    names, refused = set[bytes](), list[object]()

    def looked() -> bool:
        names.update(talk.aside.channel.name for talk in hosts[0]._talks.values() if talk.aside.channel)
        return len(names) >= 7

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts))
        await until(looked)
        refused.extend(dict(tally.refused) for tally in hosts[0].tallies.values() if tally.refused)
        await stopped(running, hosts[0])  # which may cut off a vector

    asyncio.run(scene())
    assert len(sizes) > 12
    assert (theta(hosts[0]) == 2.0 * hosts[0].node.step).all()
    assert not refused
