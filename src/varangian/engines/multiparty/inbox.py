"""What waits for the node: a few values of each peer, taken in turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from varangian.protocols import Alarm, Message


class Inbox:
    """Queues, one for each peer: who sends much waits behind itself."""

    def __init__(self, peers: Iterable[int], most: int) -> None:
        self.most = most
        self.alarms: list[Alarm] = []
        self.returned: set[int] = set()
        self._waiting: dict[int, deque[Message]] = {peer: deque() for peer in peers}
        self._room = {peer: asyncio.Event() for peer in self._waiting}
        self._any = asyncio.Event()

    async def put(self, message: Message) -> None:
        """Add a value, once there is room for it."""
        while not self.offer(message):
            room = self._room[message.sender]
            room.clear()
            await room.wait()

    def offer(self, message: Message) -> bool:
        """Add a value if there is room for it."""
        queue = self._waiting[message.sender]
        if len(queue) >= self.most:
            return False
        queue.append(message)
        self._any.set()
        return True

    def ring(self, alarm: Alarm) -> None:
        """Add an alarm."""
        self.alarms.append(alarm)
        self._any.set()

    def repeat(self, peer: int) -> None:
        """Ask the node to repeat itself to a peer."""
        self.returned.add(peer)
        self._any.set()

    def wake(self) -> None:
        """Have the next turn come at once, be there something or not."""
        self._any.set()

    def last(self) -> list[int]:
        """Return the peers that are back; of all else, nobody takes anything any more."""
        back, self.returned = sorted(self.returned), set()
        for peer, queue in self._waiting.items():
            queue.clear()
            self._room[peer].set()
        return back

    async def turn(self) -> list[Message | Alarm | int]:
        """Wait for something, and return one value of each peer, all alarms, and the peers that are back."""
        await self._any.wait()
        values = [queue.popleft() for queue in self._waiting.values() if queue]
        found: list[Message | Alarm | int] = [*sorted(self.returned), *self.alarms, *values]
        self.returned, self.alarms = set(), []
        for message in values:
            self._room[message.sender].set()
        if not any(self._waiting.values()):
            self._any.clear()
        return found
