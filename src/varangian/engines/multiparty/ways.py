"""Ways out of the stream: what may take a value beside the conversation with a peer."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from varangian.core.randomness import Stream
from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.link import Peer
from varangian.protocols import Body, Topic


@runtime_checkable
class Way(Protocol):
    """One way beside a conversation, which begins and ends with it."""

    def carries(self, kind: str) -> bool:
        """Tell whether values of a kind are to go this way."""

    async def keep(self, peer: Peer, credentials: Credentials) -> None:
        """Dial the peer whenever there is no connection."""

    async def send(self, topic: Topic, body: Body, proof: bytes, stream: Stream) -> bool:
        """Send a value; return False where it has to go another way."""

    def close(self) -> None:
        """End the connection."""
