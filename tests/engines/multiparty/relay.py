"""Somebody on the way, who reads all that goes by, and changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

Meddle = Callable[[bytes], bytes | None]


class Relay:
    """Pass bytes on to a port of this machine; ``meddle`` changes those of diallers, or ends it with None.

    It is shown pieces of ``size`` bytes; what is shorter goes by untouched, so that greetings do.
    """

    def __init__(self, port: int, size: int, meddle: Meddle) -> None:
        self.there, self.size, self.meddle = port, size, meddle
        self.port = 0

    async def open(self) -> int:
        """Listen, and return where."""
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return self.port

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self.there)
        with suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.gather(self._forth(reader, there), self._back(back, writer))
        for end in (there, writer):
            end.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = await reader.readexactly(48)
        writer.write(greeting)
        while True:
            piece = self.meddle(await reader.readexactly(self.size))
            if piece is None:
                raise ConnectionError
            writer.write(piece)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        raise ConnectionError
