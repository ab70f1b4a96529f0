"""What waits to be sent to a peer."""

from __future__ import annotations

import asyncio
from collections import deque

from varangian.protocols import Message


class Outbox:
    """A bounded queue: where it is full, the oldest value of the kind makes room.

    ``behind`` tells that something was dropped, and will have to be repeated; ``busy``, that not all is sent.
    What the transport itself has to say goes before values.
    """

    def __init__(self, most: int) -> None:
        self.most, self.behind, self.busy = most, False, False
        self._values: deque[Message] = deque()
        self._first: deque[bytes] = deque(maxlen=4)
        self._any = asyncio.Event()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def waits(self) -> bool:
        """Tell whether there is something that was not sent."""
        return self.busy or bool(self._values)

    def put(self, message: Message) -> None:
        """Add a value."""
        if len(self._values) >= self.most:
            kinds = [old.topic.kind for old in self._values]
            del self._values[kinds.index(message.topic.kind) if message.topic.kind in kinds else 0]
            self.behind = True
        self._values.append(message)
        self._any.set()

    def put_first(self, message: bytes) -> None:
        """Add what the transport says; of that, only the last few are kept."""
        self._first.append(message)
        self._any.set()

    async def get(self) -> Message | bytes:
        """Return what is to be sent next."""
        self.busy = False
        while not (self._first or self._values):
            self._any.clear()
            await self._any.wait()
        self.busy = True
        return self._first.popleft() if self._first else self._values.popleft()
