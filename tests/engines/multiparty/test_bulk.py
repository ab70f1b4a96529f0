"""The door for large vectors: no token, no entrance, and what was changed on the way is not taken."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest
from engines.multiparty.parties import PATIENCE, until
from engines.multiparty.relay import Meddle, Relay

from varangian.engines.multiparty import bulk
from varangian.engines.multiparty.bulk import Channel, Door, dial, new_token
from varangian.engines.multiparty.sealed import RECORD, TAG, ForgedError, derive
from varangian.errors import ParameterError

SIZE = 2 * RECORD + 5
FLOOD = 800
"""Connections at once: as many as a process may hold that may open a thousand files."""
VECTOR = np.random.default_rng(1).bytes(SIZE)
THERE, HERE = secrets.token_bytes(32), secrets.token_bytes(32)


class House:
    """A door, who came in, and how to come in."""

    def __init__(self, door: Door, host: str) -> None:
        self.door, self.host = door, host
        self.came: list[Channel] = []

    def expected(self, seconds: float = PATIENCE) -> bytes:
        token = new_token()
        self.door.expect(token, derive(THERE, HERE, token, dialled=False), self.came.append, seconds)
        return token

    async def dialled(self, token: bytes, dialler: bytes = THERE, port: int = 0) -> Channel:
        seals = derive(dialler, HERE, token, dialled=True)
        async with asyncio.timeout(PATIENCE):
            return await dial(self.host, port or self.door.port, token, seals, self.door.threads)

    async def both(self) -> tuple[Channel, Channel]:
        """Return both ends of a connection."""
        out = await self.dialled(self.expected())
        await until(lambda: bool(self.came))
        return out, self.came.pop()


def at_home(scene: Callable[[House], Awaitable[None]], host: str = "127.0.0.1") -> None:
    """Play a scene at an open door."""

    async def played() -> None:
        door = Door(peers=2)
        await door.open(host, 0)
        house = House(door, host)
        try:
            async with asyncio.timeout(PATIENCE):
                await scene(house)
        finally:
            for channel in house.came:
                channel.close()
            await door.close()

    asyncio.run(played())


async def taken(channel: Channel, total: int = SIZE) -> bytes:
    row = bytearray(total)
    await channel.receive(total, memoryview(row), lambda size: 0.0)
    return bytes(row)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_vectors_go_both_ways_at_once(host: str) -> None:
    async def scene(house: House) -> None:
        one, other = await house.both()
        vectors = [VECTOR, VECTOR[::-1], b""]
        for vector in vectors:
            view = memoryview(vector)
            _, _, there, back = await asyncio.gather(
                one.send(view), other.send(view), taken(other, len(vector)), taken(one, len(vector))
            )
            assert there == back == vector
        assert house.door.turned_away == 0
        one.close()
        with pytest.raises(OSError, match="hung up"):
            await taken(other)
        other.close()

    at_home(scene, host)


def test_what_is_read_is_paid_for_and_what_is_refused_goes_nowhere() -> None:
    async def scene(house: House) -> None:
        one, other = await house.both()
        paid: list[int] = []

        def pays(size: int) -> float:
            paid.append(size)
            return 0.0

        size = bulk.GULP * RECORD + 3
        await asyncio.gather(one.send(memoryview(bytes(size))), other.receive(size, None, pays))
        await asyncio.gather(one.send(memoryview(VECTOR)), there := asyncio.ensure_future(taken(other)))
        assert there.result() == VECTOR
        assert paid == [bulk.GULP * RECORD, 3]
        one.close()
        other.close()

    at_home(scene)


@pytest.mark.parametrize("why", ["invented", "used", "withdrawn", "late", "of other keys"])
def test_nobody_comes_in_without_a_token(why: str) -> None:
    async def scene(house: House) -> None:
        token = house.expected(0.01 if why == "late" else PATIENCE)
        if why == "invented":
            token = new_token()
        if why == "used":
            channel = await house.dialled(token)
            channel.close()
        if why == "withdrawn":
            house.door.forget(token)
        if why == "late":
            await asyncio.sleep(0.05)
        before = len(house.came)
        with pytest.raises(OSError, match=r".*"):
            await house.dialled(token, dialler=HERE if why == "of other keys" else THERE)
        await until(lambda: house.door.turned_away == 1)
        assert len(house.came) == before

    at_home(scene)


def test_a_token_is_no_good_after_a_wrong_key() -> None:
    async def scene(house: House) -> None:
        token = house.expected()
        for dialler in (HERE, THERE):
            with pytest.raises(OSError, match=r".*"):
                await house.dialled(token, dialler)
        assert not house.came

    at_home(scene)


def test_who_answers_in_the_place_of_the_door_is_found_out() -> None:
    async def scene(house: House) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(48)
            writer.write(bytes(TAG))

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        with pytest.raises(ForgedError):
            await house.dialled(new_token(), port=server.sockets[0].getsockname()[1])

    at_home(scene)


def test_who_says_nothing_is_sent_away_and_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "GREETING_SECONDS", 0.5)

    async def scene(house: House) -> None:
        silent = [await asyncio.open_connection(house.host, house.door.port) for _ in range(bulk.PENDING + 8)]
        silent[-1][1].write(b"x")
        one, other = await house.both()
        assert len(house.door._greeted) <= bulk.PENDING
        for reader, writer in silent:
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        assert house.door.turned_away == len(silent)
        await asyncio.gather(one.send(memoryview(VECTOR)), taken(other))
        one.close()
        other.close()

    at_home(scene)


def test_a_flood_of_connections_waits_outside() -> None:
    async def scene(house: House) -> None:
        one, other = await house.both()
        start = time.monotonic()
        with ExitStack() as flood:
            for _ in range(FLOOD):
                made = flood.enter_context(socket.socket())
                made.setblocking(False)
                made.connect_ex((house.host, house.door.port))
                await asyncio.sleep(0)  # for the door, or all but a few would be the kernel's
            while time.monotonic() < start + 0.5:
                await asyncio.sleep(0)
            seconds = time.monotonic() - start
            assert len(house.door._greeted) <= bulk.PENDING
            assert house.door.turned_away <= seconds / bulk.ACCEPT_SECONDS + 1
            _, there = await asyncio.gather(one.send(memoryview(VECTOR)), taken(other))
            assert there == VECTOR
            assert house.door.turned_away < FLOOD / 2
        one.close()
        other.close()

    at_home(scene)


def flip(piece: bytes) -> bytes:
    return bytes([piece[0] ^ 1]) + piece[1:]


class Swap:
    """Hold a piece back until the next has gone by."""

    def __init__(self) -> None:
        self.held = b""

    def __call__(self, piece: bytes) -> bytes:
        if self.held:
            return piece + self.held
        self.held = piece
        return b""


@pytest.mark.parametrize(
    ("meddle", "error"),
    [
        (flip, ForgedError),
        (Swap(), ForgedError),
        (lambda piece: piece + piece, ForgedError),
        (lambda piece: bytes(len(piece)), ForgedError),
        (lambda piece: piece[:1000], OSError),
        (lambda piece: None, OSError),
    ],
    ids=["flipped", "in another order", "twice", "zeros", "cut", "ended"],
)
def test_what_was_changed_on_the_way_is_not_taken(meddle: Meddle, error: type[Exception]) -> None:
    async def scene(house: House) -> None:
        token = house.expected()
        port = await Relay(house.door.port, RECORD + TAG, meddle).open()
        out = await house.dialled(token, port=port)
        await until(lambda: bool(house.came))
        sending = asyncio.ensure_future(out.send(memoryview(VECTOR)))
        sending.add_done_callback(lambda _: out.close())  # so that who waits for what was cut off hears of it
        with pytest.raises(error):
            await taken(house.came[0])
        out.close()
        await asyncio.gather(sending, return_exceptions=True)

    at_home(scene)


def test_a_channel_that_is_closed_lets_go_of_its_threads() -> None:
    async def scene(house: House) -> None:
        one, other = await house.both()
        waits: list[Any] = [asyncio.ensure_future(taken(other)), asyncio.ensure_future(one.send(big))]
        await asyncio.sleep(0.05)
        other.close()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(end, OSError) for end in ends)
        assert other._connection.fileno() == -1
        one.close()
        assert one._connection.fileno() == -1
        with pytest.raises(OSError, match=r".*"):
            await one.send(big)

    big = memoryview(bytes(64 << 20))
    at_home(scene)


def test_a_place_that_is_taken_is_told() -> None:
    async def scene(house: House) -> None:
        with pytest.raises(ParameterError, match="Cannot listen for large vectors"):
            await Door(1).open(house.host, house.door.port)

    at_home(scene)
