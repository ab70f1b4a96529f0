"""What waits to be sent to a peer."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from dataclasses import replace

from varangian.engines.multiparty.limits import Limits
from varangian.protocols import Message, Node, Topic


def roomy(limits: Limits, node: Node, party: int) -> Limits:
    """Return limits with which all that a party's node may repeat to a peer can wait at once."""
    kinds = [kind for kind in node.mailbox.kinds.values() if party in kind.senders]
    least = node.mailbox.window * sum(len(kind.subjects) for kind in kinds)
    return replace(limits, outgoing=max(limits.outgoing, least))


class Outbox:
    """A bounded queue: where it is full, the oldest value of what most wait of makes room.

    With room for all that the node would say again, that is a value that the node does not keep either.
    ``behind`` tells that something was dropped, and that the peer has to be told; ``busy``, that not all is
    sent. A value that waits already is not added. What the transport itself has to say goes before values.
    """

    def __init__(self, most: int) -> None:
        self.most, self.behind, self.busy = most, False, False
        self._values: OrderedDict[tuple[Topic, int], Message] = OrderedDict()
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
        self._values.setdefault((message.topic, id(message.body)), message)
        if len(self._values) > self.most:
            self._drop()
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
        return self._first.popleft() if self._first else self._values.popitem(last=False)[1]

    def _drop(self) -> None:
        waiting = Counter((topic.kind, topic.subject) for topic, _ in self._values)
        ((most, _),) = waiting.most_common(1)
        del self._values[next(key for key in self._values if (key[0].kind, key[0].subject) == most)]
        self.behind = True
