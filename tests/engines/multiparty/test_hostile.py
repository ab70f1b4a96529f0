"""A worker that does what it likes over its own connection: refused, counted, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from engines.multiparty.certificates import Authority
from engines.multiparty.parties import AUTHORITY, Town, until
from engines.multiparty.toy import toy

from varangian.engines.multiparty import Credentials, Host, Limits
from varangian.engines.multiparty.link import ClosedError, Stream, dial
from varangian.engines.multiparty.wire import HELLO, Head, Schema
from varangian.protocols import Single, Topic
from varangian.protocols.server import GRADIENT, MODEL

D = 1000
LIAR = 4
LIMITS = Limits(breaches=50, penalty_seconds=5)
TOPOLOGY = Single(workers=4, byzantine_workers=1, patience=0.0)


class Attack:
    """The liar's side: it has worker3's certificate, unless it is given another."""

    def __init__(self, town: Town, host: Host) -> None:
        self.town, self.host = town, host
        self.schema = Schema(TOPOLOGY.kinds(toy(D, 1).form), town.limits)
        self.credentials = AUTHORITY.issued("worker3")
        self.ended = 0

    async def talk(
        self, say: Callable[[Stream], Awaitable[None]], credentials: Credentials | None = None
    ) -> None:
        """Dial the server and say something, until it hangs up."""

        async def talk(_: str, stream: Stream) -> None:
            await say(stream)
            while True:
                await stream.read()

        with suppress(ClosedError):
            await dial(credentials or self.credentials, self.town.peers[0], self.town.limits, talk)
        self.ended += 1

    async def greeted(self, say: Callable[[Stream], Awaitable[None]]) -> None:
        """Greet as one should, and then say something."""

        async def both(stream: Stream) -> None:
            await stream.write(self.hello())
            await say(stream)

        await self.talk(both)

    def hello(self, credentials: Credentials | None = None) -> bytes:
        certificate = (credentials or self.credentials).certificate
        return bytes([HELLO]) + self.schema.fingerprint + certificate

    @property
    def refused(self) -> dict[str, int]:
        return refused(self.host)

    def value(self, topic: Topic, total: int = 4 * D, data: bytes | None = None) -> bytes:
        body = bytes(total) if data is None else data
        return self.schema.prefix(Head(topic, total)) + struct.pack("<I", 0) + body


Behaviour = Callable[[Attack], Awaitable[None]]


def besieged(
    behaviour: Behaviour, seen: Callable[[Attack], bool], steps: int = 60, limits: Limits = LIMITS
) -> Host:
    """Train with three honest workers beside the liar, and return the server's host.

    The honest come when the liar is seen to have done its worst; it dials again until it has.
    """
    task = toy(D, steps)
    town = Town(TOPOLOGY, lambda party: TOPOLOGY.node(party, task), limits)

    async def scene() -> Host:
        hosts = [town.host(party) for party in range(TOPOLOGY.n) if party != LIAR]
        server, workers = hosts[0], hosts[1:]
        running = asyncio.ensure_future(server.run())
        await until(lambda: server.port > 0)
        attack = Attack(town, server)

        async def attacks() -> None:
            while not seen(attack):
                await behaviour(attack)
                await asyncio.sleep(0.05)

        attacking = asyncio.ensure_future(attacks())
        await until(lambda: seen(attack) or attacking.done())
        if attacking.done():
            attacking.result()
        await town.run(workers)
        await running
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)
        return server

    server = asyncio.run(scene())
    theta = server.node.keeper.theta  # type: ignore[attr-defined]
    assert server.node.step == steps
    assert (theta == theta[0]).all()
    assert steps <= theta[0] <= 3 * steps
    return server


def refused(host: Host) -> dict[str, int]:
    counts: dict[str, int] = host.status()["peers"]["worker3"]["refused"]
    return counts


async def another_authority(attack: Attack) -> None:
    """A certificate with the right name, by somebody else."""
    own = replace(Authority().issued("worker3"), authority=attack.credentials.authority)
    await attack.talk(lambda stream: stream.write(attack.hello()), own)


async def no_peer(attack: Attack) -> None:
    """A good certificate, of nobody who takes part."""
    await attack.talk(lambda stream: stream.write(attack.hello()), AUTHORITY.issued("mallory"))


async def another_name(attack: Attack) -> None:
    """Its own connection, another's certificate in the greeting."""
    await attack.talk(lambda stream: stream.write(attack.hello(AUTHORITY.issued("worker1"))))


async def another_run(attack: Attack) -> None:
    """The greeting of another run."""
    await attack.talk(
        lambda stream: stream.write(bytes([HELLO]) + bytes(32) + attack.credentials.certificate)
    )


async def silence(attack: Attack) -> None:
    """No greeting at all."""

    async def say(_: Stream) -> None:
        pass

    await attack.talk(say)


async def wrong_shape(attack: Attack) -> None:
    """A value that is too short."""
    await attack.greeted(lambda stream: stream.write(attack.value(Topic(0, GRADIENT), 4 * D - 4)))


async def ten_gib(attack: Attack) -> None:
    """A header that claims 10 GiB."""
    await attack.greeted(
        lambda stream: stream.write(attack.value(Topic(0, GRADIENT), 10 << 30, bytes(4 * D)))
    )


async def other_say(attack: Attack) -> None:
    """What only a server may say."""
    await attack.greeted(lambda stream: stream.write(attack.value(Topic(0, MODEL))))


async def about_others(attack: Attack) -> None:
    """A gradient in worker 1's name: no message has a sender, only a subject."""
    await attack.greeted(lambda stream: stream.write(attack.value(Topic(0, GRADIENT, 0, 2))))


async def slow_loris(attack: Attack) -> None:
    """The first chunk of a value, and then nothing."""
    await attack.greeted(lambda stream: stream.write(attack.value(Topic(1 << 30, GRADIENT))[: -2 * D]))


async def half_a_value(attack: Attack) -> None:
    """Half of a chunk."""
    await attack.greeted(lambda stream: stream.write(attack.value(Topic(0, GRADIENT))[: -2 * D]))


async def garbage(attack: Attack) -> None:
    """Random bytes."""
    rng = np.random.default_rng(1)

    async def say(stream: Stream) -> None:
        for _ in range(20):
            await stream.write(rng.bytes(100))

    await attack.greeted(say)


async def replay(attack: Attack) -> None:
    """The same steps over and over."""

    async def say(stream: Stream) -> None:
        for number in range(100_000):
            await stream.write(
                attack.value(Topic(number % 3, GRADIENT), data=np.full(D, 2, np.float32).tobytes())
            )

    await attack.greeted(say)


# Limits hold for the honest, too: none is shorter than it has to be.
TWO_CHUNKS = replace(LIMITS, chunk_bytes=2 * D, frame_seconds=3.0)
CASES: list[tuple[Behaviour, str, Limits]] = [
    (another_name, "impostor", LIMITS),
    (another_run, "foreign", LIMITS),
    (silence, "unfinished", replace(LIMITS, hello_seconds=1.0)),
    (slow_loris, "unfinished", TWO_CHUNKS),
    (wrong_shape, "malformed", LIMITS),
    (ten_gib, "malformed", LIMITS),
    (other_say, "stranger", LIMITS),
    (about_others, "stranger", LIMITS),
    (half_a_value, "garbage", LIMITS),
    (garbage, "garbage", LIMITS),
]


@pytest.mark.parametrize(
    ("behaviour", "reason", "limits"), CASES, ids=[behaviour.__name__ for behaviour, *_ in CASES]
)
def test_refused_and_counted(behaviour: Behaviour, reason: str, limits: Limits) -> None:
    server = besieged(behaviour, lambda attack: attack.refused.get(reason, 0) > 0, limits=limits)
    assert refused(server)[reason] > 0


def test_a_certificate_of_another_authority_lets_nobody_in() -> None:
    server = besieged(another_authority, lambda attack: attack.ended >= 3)
    assert server.status()["peers"]["worker3"]["links"] == 0
    assert not refused(server)
    assert not server.strangers


def test_who_is_no_peer_is_not_let_in() -> None:
    server = besieged(no_peer, lambda attack: "mallory" in attack.host.strangers)
    assert server.status()["peers"]["worker3"]["links"] == 0
    assert not refused(server)


def again(counts: dict[str, int]) -> int:
    return counts.get("repeated", 0) + counts.get("late", 0)


def test_replayed_steps() -> None:
    server = besieged(replay, lambda attack: again(attack.refused) > 0, steps=300)
    assert again(refused(server)) > 0
