"""Parties that lose each other, come back, start anew, are slow, or say two things."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines.multiparty.certificates import Authority
from engines.multiparty.parties import AUTHORITY, Town, until
from engines.multiparty.toy import toy

from varangian.core.randomness import Stream
from varangian.engines.multiparty import Host, Limits
from varangian.engines.multiparty.identity import holds, statement
from varangian.engines.multiparty.link import ClosedError, dial
from varangian.engines.multiparty.wire import HELLO, Head, Schema
from varangian.errors import ParameterError
from varangian.protocols import Equivocating, Liar, Node, Replicated, Single, Topic
from varangian.protocols.server import GATHER, GRADIENT

D, STEPS = 1000, 200
SINGLE = Single(workers=3, patience=5.0)


def town_of(topology: Any, d: int = D, steps: int = STEPS, limits: Limits | None = None) -> Town:
    task = toy(d, steps)
    return Town(topology, lambda party: topology.node(party, task), limits)


def theta(host: Host) -> Any:
    return host.node.keeper.theta  # type: ignore[attr-defined]


def test_links_that_break_are_made_again() -> None:
    town = town_of(SINGLE)
    hosts = [town.host(party) for party in range(SINGLE.n)]

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts))
        for step in (20, 60, 100):
            await until(lambda step=step: hosts[0].node.step >= step)  # type: ignore[misc]
            for talk in list(hosts[0]._talks.values()):
                talk.stream.close()
        await running

    asyncio.run(scene())
    assert (theta(hosts[0]) == 2.0 * STEPS).all()
    assert all(tally.links >= 4 for tally in hosts[0].tallies.values())


def test_who_takes_leave_is_let_go() -> None:
    town = town_of(SINGLE, steps=10**6)
    hosts = [town.host(party) for party in range(SINGLE.n)]
    server, *workers = hosts

    async def scene() -> None:
        running = [asyncio.ensure_future(host.run()) for host in workers]
        await server.run(lambda: server.node.step > 20)
        assert not server._talks
        for host in workers:
            assert host.tallies[0].links == 1
            assert not host.node.finished
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(scene())


@pytest.mark.parametrize("party", [0, 2])
def test_a_party_starts_anew(party: int) -> None:
    town = town_of(SINGLE)
    hosts = [town.host(one) for one in range(SINGLE.n)]

    async def scene() -> Host:
        first = asyncio.ensure_future(hosts[party].run())
        others = asyncio.ensure_future(town.run([host for host in hosts if host is not hosts[party]]))
        await until(lambda: hosts[party].node.step >= STEPS // 3)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        hosts[party]._thread.shutdown(wait=True)
        node, before = town.node(party), hosts[party].node
        node.restore(before.state())
        node.recall(before.said())
        second = town.host(party, node=node)
        await asyncio.gather(second.run(), others)
        return second

    second = asyncio.run(scene())
    server = second if party == 0 else hosts[0]
    assert (theta(server) == 2.0 * STEPS).all()


def test_the_second_connection_of_a_party_replaces_the_first() -> None:
    town = town_of(SINGLE, steps=20)
    hosts = [town.host(party) for party in range(SINGLE.n)]
    schema = Schema(hosts[0].node.mailbox.kinds, Limits())
    credentials = AUTHORITY.issued("worker0")

    async def scene() -> None:
        server = asyncio.ensure_future(hosts[0].run())
        await until(lambda: hosts[0].port > 0)
        ended = asyncio.Event()

        async def talk(_: str, stream: Any) -> None:
            await stream.write(bytes([HELLO]) + schema.fingerprint + credentials.certificate)
            try:
                while True:
                    await stream.read()
            except ClosedError:
                ended.set()

        first = asyncio.ensure_future(dial(credentials, town.peers[0], Limits(), talk))
        await until(lambda: 1 in hosts[0]._talks)
        await asyncio.gather(town.run(hosts[1:]), server)
        assert ended.is_set()
        first.cancel()

    asyncio.run(scene())
    assert hosts[0].node.finished
    assert hosts[0].tallies[1].links == 2


def test_what_came_of_a_vector_is_taken_at_its_deadline() -> None:
    limits = Limits(partial=True, piece_bytes=1024, frame_seconds=3.0)  # which holds for the honest, too
    town = town_of(SINGLE, d=2560, steps=1, limits=limits)
    hosts = [town.host(party) for party in range(SINGLE.n)]
    schema = Schema(hosts[0].node.mailbox.kinds, limits)
    credentials = AUTHORITY.issued("worker0")
    pieces = list(schema.messages(Topic(0, GRADIENT), np.full(2560, 7, np.float32), b"", Stream(3)))

    async def slow(_: str, stream: Any) -> None:
        await stream.write(bytes([HELLO]) + schema.fingerprint + credentials.certificate)
        for piece in pieces[:4]:
            await stream.write(piece)
        while True:
            await stream.read()

    async def scene() -> None:
        server = asyncio.ensure_future(hosts[0].run())
        await until(lambda: hosts[0].port > 0)
        dialling = asyncio.ensure_future(dial(credentials, town.peers[0], limits, slow))
        await asyncio.gather(town.run(hosts[2:]), server)
        dialling.cancel()

    asyncio.run(scene())
    keeper: Any = hosts[0].node.keeper  # type: ignore[attr-defined]
    assert keeper.missing == [pytest.approx(0.6 / 3)]
    assert sorted(set(keeper.theta.tolist())) == [2.5, 4.0]
    assert hosts[0].tallies[1].partial == 1
    assert len(pieces) == 10
    first = [schema.parse(piece).number for piece in pieces]
    assert first != sorted(first), "Pieces go in a random order, so that not the tail alone is lost."


def test_a_server_that_says_two_things_is_found_out() -> None:
    topology = Replicated(workers=4, byzantine_workers=1, servers=5, byzantine_servers=1, gather_every=5)
    task = toy(D, 40)

    def node(party: int) -> Node:
        made = topology.node(party, task)
        return Liar(made, Equivocating(), Stream(1)) if party == 4 else made  # type: ignore[return-value]

    town = Town(topology, node, Limits(gossip_seconds=0.05))
    hosts = [town.host(party) for party in range(topology.n)]
    asyncio.run(town.run(hosts))
    found = [host.evidence for host in hosts[:4]]
    assert all(set(one) <= {"server4"} for one in found)
    assert any(found)
    proof = next(one["server4"] for one in found if one)
    key = AUTHORITY.issued("server0").public(AUTHORITY.issued("server4").certificate, "server4")
    for sha256, signature in zip(proof.digests, proof.signatures, strict=True):
        assert holds(key, signature, statement("", "server4", proof.topic, sha256))


def test_a_value_with_another_s_signature_is_not_taken() -> None:
    topology = Replicated(workers=4, byzantine_workers=1, servers=5, byzantine_servers=1)
    town = town_of(topology, steps=1)
    host = town.host(0)
    liar = AUTHORITY.issued("server4")
    body = np.zeros(D, np.float32)

    async def forge(_: str, stream: Any) -> None:
        await stream.write(bytes([HELLO]) + host._common.schema.fingerprint + liar.certificate)
        head = Head(Topic(0, GATHER), 4 * D, bytes(100))
        await stream.write(host._common.schema.prefix(head) + bytes(4) + body.tobytes())
        while True:
            await stream.read()

    async def scene() -> None:
        server = asyncio.ensure_future(host.run())
        await until(lambda: host.port > 0)
        attack = asyncio.ensure_future(dial(liar, town.peers[0], Limits(), forge))
        await until(lambda: host.status()["peers"]["server4"]["refused"].get("forged", 0) == 1)
        attack.cancel()
        server.cancel()
        await asyncio.gather(server, attack, return_exceptions=True)

    asyncio.run(scene())


@pytest.mark.parametrize("lossy", [False, True])
def test_parties_meet_at_addresses_of_six(lossy: bool) -> None:
    task = toy(D, 5)
    town = Town(SINGLE, lambda party: SINGLE.node(party, task), Limits(lossy=lossy), loopback="[::1]")
    hosts = [town.host(party) for party in range(SINGLE.n)]
    assert hosts[1].peers[0].address == town.peers[0].address
    asyncio.run(town.run(hosts))
    assert all(host.node.finished for host in hosts)
    # On a busy machine a datagram may be lost even here.
    assert (theta(hosts[0]) <= 3.0 * 5).all() if lossy else (theta(hosts[0]) == 2.0 * 5).all()


def test_status_tells_how_things_stand() -> None:
    town = town_of(SINGLE, steps=5)
    hosts = [town.host(party) for party in range(SINGLE.n)]
    asyncio.run(town.run(hosts))
    status = hosts[0].status()
    assert status["step"] == 5
    assert status["finished"]
    assert set(status["peers"]) == {"worker0", "worker1", "worker2"}
    assert all(peer["bytes_in"] > 5 * 4 * D for peer in status["peers"].values())
    assert set(status["seconds"]) == {"compute", "aggregate", "other", "communicate"}


STRANGE = [
    ({"credentials": Authority().issued("worker0")}, "keys that one authority has made"),
    ({"run_id": "another"}, "Everybody needs the same file"),
    ({"limits": Limits(chunk_bytes=1 << 16)}, "Everybody needs the same file"),
    ({"peers": ["server1", None]}, "the certificate of another party"),
    ({"peers": ["server0", "no.such.machine.invalid:7400"]}, "no machine of the name"),
]


@pytest.mark.parametrize(("changed", "said"), STRANGE, ids=["authority", "run", "limits", "party", "machine"])
def test_who_can_never_come_to_talk_is_told_why_and_once(
    changed: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    town = town_of(SINGLE, limits=Limits(backoff_seconds=0.05))
    if "peers" in changed:
        name, address = changed["peers"]
        changed = {"peers": [replace(town.peers[0], name=name, address=address or town.peers[0].address)]}
    server, worker = town.host(0), town.host(1, **changed)

    async def scene() -> None:
        running = [asyncio.ensure_future(server.run())]
        await until(lambda: server.port > 0)
        running.append(asyncio.ensure_future(worker.run()))
        await until(lambda: bool(worker.tallies[0].complaints))
        again = worker.tallies[0].complaints = Counting(worker.tallies[0].complaints)
        await until(lambda: again.asked >= 2)
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    with caplog.at_level(logging.WARNING, "varangian"):
        asyncio.run(scene())
    told = [record.getMessage() for record in caplog.records if record.name == "varangian"]
    mine = [one for one in told if one.startswith("worker0 cannot talk to ")]
    assert len(mine) == 1
    assert said in mine[0]
    assert len(mine[0].splitlines()) == 1
    assert len(told) <= 2, "The other end says so too, once, where it knows who it is."


class Counting(set[str]):
    """A set that counts how often it is asked."""

    asked = 0

    def __contains__(self, one: object) -> bool:
        self.asked += 1
        return super().__contains__(one)


@pytest.mark.parametrize("taken", ["stream", "large vectors"])
def test_a_port_that_is_taken_is_told_in_the_system_s_words(taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        limits = Limits(bulk_bytes=1000, bulk_port=port if taken == "large vectors" else 0)
        place = {"listen": f"127.0.0.1:{port}"} if taken == "stream" else {}
        host = town_of(SINGLE, limits=limits).host(0, **place)
        with pytest.raises(ParameterError, match=f":{port}: Address already in use\\. End who listens there"):
            asyncio.run(host.run())
