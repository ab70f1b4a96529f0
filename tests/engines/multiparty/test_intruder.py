"""Beside the stream, nobody may do what the stream does not allow."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace

import pytest
from engines.multiparty.intruder import LIMITS, STEPS, D, Liar, besieged, theta
from engines.multiparty.parties import until

from varangian.engines.multiparty.sealed import RECORD
from varangian.engines.multiparty.wire import ASIDE, BROKE, KNOCK, OFFER, TAKEN
from varangian.protocols import Topic
from varangian.protocols.server import GRADIENT, MODEL


@pytest.mark.parametrize("total", [0, 4 * D - 4, 4 * D + 4, 10 << 30])
def test_another_length_than_agreed_is_refused_before_there_is_memory_for_it(total: int) -> None:
    async def behaviour(liar: Liar) -> None:
        await liar.announces(Topic(0, GRADIENT), total)
        assert liar.channel.name in await liar.hears(BROKE)
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
        await liar.hears(BROKE)
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
            assert b"somebody" in await liar.hears(BROKE)
            assert await liar.sends(Topic(0, GRADIENT)) == TAKEN
        else:
            await liar.announces(Topic(0, GRADIENT), first=0)
            await liar.hears(BROKE)
            assert not liar.status["bulk"]
            await liar.enter()
            assert await liar.sends(Topic(0, GRADIENT)) == TAKEN

    besieged(behaviour)


@pytest.mark.parametrize("what", [KNOCK, OFFER, ASIDE, BROKE])
def test_garbage_is_counted(what: int) -> None:
    async def behaviour(liar: Liar) -> None:
        await liar.stream.write(bytes([what]) + b"garbage")
        await until(lambda: liar.refused == {"garbage": 1})

    besieged(behaviour)


def test_who_asks_again_and_again_is_cut_off() -> None:
    async def behaviour(liar: Liar) -> None:
        for _ in range(200):
            await liar.stream.write(bytes([KNOCK]) + secrets.token_bytes(32))
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
        inbox = liar.host._common.inbox
        inbox.most, most = 0, inbox.most
        assert await liar.sends(Topic(0, GRADIENT)) == TAKEN
        await liar.announces(Topic(1, GRADIENT))
        sending = asyncio.ensure_future(liar.channel.send(memoryview(bytes(4 * D))))
        await asyncio.sleep(0.2)
        assert not any(message[0] == TAKEN for message in liar.heard)
        inbox.most = most
        inbox._room[1].set()
        await liar.hears(TAKEN)
        await sending

    besieged(behaviour)
