"""What waits for the node: a few values of each peer, and a few that are sent once, taken in turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from varangian.protocols import Alarm, Message


class Inbox:
    """Queues of each peer's values: who sends much waits behind itself.

    A value that is sent once, come what may, cannot be made to wait at its sender. Of those, which are all of
    one kind, the last stay, one more than the node keeps of a kind: so it finds out that one before is gone.
    """

    def __init__(self, peers: Iterable[int], most: int, window: int) -> None:
        self.most = most
        self.alarms: list[Alarm] = []
        self.returned: set[int] = set()
        self._waiting: dict[int, deque[Message]] = {peer: deque() for peer in peers}
        self._passing = {peer: deque[Message](maxlen=window + 1) for peer in self._waiting}
        self._room = {peer: asyncio.Event() for peer in self._waiting}
        self._any = asyncio.Event()

    async def put(self, message: Message) -> None:
        """Add a value, once there is room for it."""
        queue, room = self._waiting[message.sender], self._room[message.sender]
        while len(queue) >= self.most:
            room.clear()
            await room.wait()
        queue.append(message)
        self._any.set()

    def offer(self, message: Message) -> bool:
        """Add a value that is sent once; tell whether there was room, or the oldest had to make it."""
        queue = self._passing[message.sender]
        roomy = len(queue) != queue.maxlen
        queue.append(message)
        self._any.set()
        return roomy

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
        for queue in self._queues():
            queue.clear()
        for room in self._room.values():
            room.set()
        return back

    async def turn(self) -> list[Message | Alarm | int]:
        """Wait for something, and return a value of each queue, all alarms, and the peers that are back."""
        await self._any.wait()
        values = [queue.popleft() for queue in self._queues() if queue]
        found: list[Message | Alarm | int] = [*sorted(self.returned), *self.alarms, *values]
        self.returned, self.alarms = set(), []
        for message in values:
            self._room[message.sender].set()
        if not any(self._queues()):
            self._any.clear()
        return found

    def _queues(self) -> list[deque[Message]]:
        return [*self._waiting.values(), *self._passing.values()]
