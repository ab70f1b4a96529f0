"""A worker that does what it likes over its own connection: refused, counted, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np
import pytest
from engines.multiparty.certificates import Authority
from engines.multiparty.parties import AUTHORITY, Town
from engines.multiparty.toy import toy

from varangian.engines.multiparty import Credentials, Host, Limits
from varangian.engines.multiparty.link import ClosedError, Stream, dial
from varangian.engines.multiparty.wire import HELLO, Head, Schema
from varangian.protocols import Single, Topic
from varangian.protocols.server import GRADIENT, MODEL

D = 1000
LIAR = 4
LIMITS = Limits(frame_seconds=0.3, hello_seconds=0.5, breaches=50, penalty_seconds=5)
TOPOLOGY = Single(workers=4, byzantine_workers=1, patience=0.0)


class Attack:
    """The liar's side: it has worker3's certificate, unless it is given another."""

    def __init__(self, town: Town, host: Host) -> None:
        self.town, self.host = town, host
        self.schema = Schema(TOPOLOGY.kinds(toy(D, 1).form), LIMITS)
        self.credentials = AUTHORITY.issued("worker3")

    async def talk(
        self, say: Callable[[Stream], Awaitable[None]], credentials: Credentials | None = None
    ) -> None:
        """Dial the server and say something, until it hangs up."""

        async def talk(_: str, stream: Stream) -> None:
            await say(stream)
            while True:
                await stream.read()

        with suppress(ClosedError):
            await dial(credentials or self.credentials, self.town.peers[0], LIMITS, talk)

    async def greeted(self, say: Callable[[Stream], Awaitable[None]]) -> None:
        """Greet as one should, and then say something."""

        async def both(stream: Stream) -> None:
            await stream.write(self.hello())
            await say(stream)

        await self.talk(both)

    def hello(self, credentials: Credentials | None = None) -> bytes:
        certificate = (credentials or self.credentials).certificate
        return bytes([HELLO]) + self.schema.fingerprint + certificate

    def value(self, topic: Topic, total: int = 4 * D, data: bytes | None = None) -> bytes:
        body = bytes(total) if data is None else data
        return self.schema.prefix(Head(topic, total)) + struct.pack("<I", 0) + body


Behaviour = Callable[[Attack], Awaitable[None]]


def besieged(behaviour: Behaviour, steps: int = 60, limits: Limits = LIMITS) -> Host:
    """Train with three honest workers beside the liar, and return the server's host."""
    task = toy(D, steps)
    town = Town(TOPOLOGY, lambda party: TOPOLOGY.node(party, task), limits)

    async def scene() -> Host:
        hosts = [town.host(party) for party in range(TOPOLOGY.n) if party != LIAR]
        server, workers = hosts[0], hosts[1:]
        running = asyncio.ensure_future(server.run())
        while not server.port:
            await asyncio.sleep(0.01)
        attacking = asyncio.ensure_future(behaviour(Attack(town, server)))
        await asyncio.wait({attacking}, timeout=0.7)
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
    await attack.talk(lambda stream: stream.write(attack.hello()), Authority().issued("worker3"))


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
    """The beginning of a value, and then nothing."""
    whole = attack.value(Topic(1 << 30, GRADIENT))
    await attack.greeted(lambda stream: stream.write(whole[: -4 * D]))


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


CASES: list[tuple[Behaviour, str]] = [
    (another_name, "impostor"),
    (another_run, "foreign"),
    (silence, "unfinished"),
    (wrong_shape, "malformed"),
    (ten_gib, "malformed"),
    (other_say, "stranger"),
    (about_others, "stranger"),
    (half_a_value, "garbage"),
    (garbage, "garbage"),
]


@pytest.mark.parametrize(("behaviour", "reason"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_refused_and_counted(behaviour: Behaviour, reason: str) -> None:
    assert refused(besieged(behaviour))[reason] > 0


@pytest.mark.parametrize("behaviour", [another_authority, no_peer])
def test_nobody_is_let_in(behaviour: Behaviour) -> None:
    server = besieged(behaviour)
    assert server.status()["peers"]["worker3"]["links"] == 0
    assert ("mallory" in server.strangers) == (behaviour is no_peer)


def test_replayed_steps() -> None:
    counts = refused(besieged(replay, steps=300))
    assert counts.get("repeated", 0) + counts.get("late", 0) > 0
