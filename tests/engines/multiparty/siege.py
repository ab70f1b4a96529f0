"""A liar in a process of its own: it attacks for a while, rests for a while, and so on."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from varangian.engines.multiparty import Credentials, Limits, Peer
from varangian.engines.multiparty.bulk import Channel
from varangian.engines.multiparty.bulk import dial as dial_door
from varangian.engines.multiparty.link import Stream, dial
from varangian.engines.multiparty.sealed import derive
from varangian.engines.multiparty.wire import ASIDE, HELLO, KNOCK, OFFER, Head, Schema
from varangian.protocols import Kind, Topic
from varangian.protocols.server import GRADIENT

BESIDE = ("late vectors beside the stream", "connections beside the stream")
WAYS = (
    "10 000 messages a second",
    "late vectors",
    "vectors of later steps",
    "garbage",
    "connections",
    *BESIDE,
)


def siege(
    address: str, own: Credentials, kinds: dict[str, Kind], way: str, period: float, times: Any
) -> None:
    """Attack a server every other period, as fast as it goes, and put the starts and ends into ``times``."""
    schema = Schema(kinds, Limits())
    size = kinds[GRADIENT].form.size

    def value(step: int, body: bytes) -> bytes:
        return schema.prefix(Head(Topic(step, GRADIENT), size)) + struct.pack("<I", 0) + body

    def message(number: int) -> bytes:
        if way == "late vectors":
            return value(0, bytes(size))
        if way == "vectors of later steps":
            return value(1_000_000 + number, bytes(size))
        if way == "garbage":
            return struct.pack("<Q", number) * 100
        return value(0, bytes(10))

    async def talk(_: str, stream: Stream) -> None:
        await stream.write(bytes([HELLO]) + schema.fingerprint + own.certificate)
        if way == "connections":
            return
        if way in BESIDE:
            await beside(stream, schema.prefix(Head(Topic(0, GRADIENT), size)), size, way)
        start = time.monotonic()
        for number in range(10**9):
            await stream.write(message(number))
            if way == WAYS[0]:
                await asyncio.sleep(max(0.0, start + number / 10_000 - time.monotonic()))

    async def attack() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(period):
                while True:
                    with suppress(OSError):
                        await dial(own, Peer(0, "server0", address), Limits(), talk)
                    await asyncio.sleep(0.001)

    os.nice(10)  # the liar has its own machine: its own work must not slow the others
    while True:
        start = time.monotonic()
        asyncio.run(attack())
        times.put((start, time.monotonic()))
        time.sleep(period)


async def beside(stream: Stream, head: bytes, size: int, way: str) -> None:
    """Attack where large vectors go."""
    secret, threads = secrets.token_bytes(32), ThreadPoolExecutor(1)
    await stream.write(bytes([KNOCK]) + secret)
    while (offer := await stream.read())[0] != OFFER:
        pass
    _, port, token, listener = struct.unpack("<BH32s32s", offer)
    while way == BESIDE[1]:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.01) as one:
            one.sendall(token[:-1])
        await asyncio.sleep(0)

    async def deaf() -> None:
        while True:
            await stream.read()

    seals = derive(secret, listener, token, dialled=True)
    channel: Channel = await dial_door("127.0.0.1", port, token, seals, threads)
    listening = asyncio.ensure_future(deaf())
    try:
        while not listening.done():
            await stream.write(struct.pack("<B8sQ", ASIDE, channel.name, channel.sent) + head)
            await channel.send(memoryview(bytes(size)))
    finally:
        listening.cancel()
        channel.close()
