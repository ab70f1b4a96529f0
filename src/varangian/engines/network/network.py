"""A network in virtual time: one seed, one history."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from varangian.core.randomness import Stream, as_stream
from varangian.engines.network.events import Crash, Event, Partition
from varangian.engines.network.links import Link
from varangian.protocols import Alarm, Message, Node, Output, Stands


class Delivery(NamedTuple):
    """A message, or an alarm, that reached a party at a time."""

    time: float
    what: Message | Alarm
    party: int


class Kept(NamedTuple):
    """A checkpoint: where a node stood, its state, and what it had said last."""

    stands: Stands
    state: dict[str, Any]
    said: list[Message]


class Network:
    """Parties and the messages between them, in the order of a clock that costs no time.

    ``made(party)`` makes a node, at the start and after a crash. ``schedule`` gives the seconds that a
    message takes; without it ``link``, or one link for each pair, does.

    Randomness  from the stream alone, so the same seed replays the same history
    """

    def __init__(
        self,
        made: Callable[[int], Node],
        n: int,
        *,
        link: Link | Callable[[int, int], Link] | None = None,
        schedule: Callable[[Message], float] | None = None,
        events: Sequence[Event] = (),
        stream: Stream | None = None,
        watch: Callable[[Delivery], None] | None = None,
    ) -> None:
        self.made, self.n, self.time, self.sent = made, n, 0.0, 0
        self.link, self.schedule = link or Link(), schedule
        self.watch = watch
        self.nodes = {party: made(party) for party in range(n)}
        self.partitions = [event for event in events if isinstance(event, Partition)]
        self._rng = as_stream(stream).at("network").numpy()
        self._queue: list[tuple[float, int, Any]] = []
        self._count = 0
        self._kept: dict[int, Kept] = {}
        self._lives: Counter[int] = Counter()
        self._mortal = {event.party for event in events if isinstance(event, Crash)}
        self._last: dict[tuple[int, int], float] = {}
        for event in events:
            if isinstance(event, Crash):
                self._push(event.at, event)
                if event.back is not None:
                    self._push(event.back, event)

    def run(
        self,
        done: Callable[[], bool] = lambda: False,
        *,
        seconds: float = float("inf"),
        most: int = 1_000_000,
    ) -> bool:
        """Deliver until it is done, and return True; False where time, messages or events run out."""
        for party in self.nodes:
            self._begin(party)
        while not done():
            if not self._queue or self._count > most or self._queue[0][0] > seconds:
                return False
            self.time, _, what = heapq.heappop(self._queue)
            if isinstance(what, Crash):
                self._crash(what)
            else:
                self._deliver(*what)
        return True

    def _deliver(self, party: int, what: Message | Alarm) -> None:
        node = self.nodes.get(party)
        if node is None:
            return
        if self.watch is not None:
            self.watch(Delivery(self.time, what, party))
        said = node.ring(what) if isinstance(what, Alarm) else node.receive(what)
        self._keep(party)
        self._say(party, said)

    def _begin(self, party: int) -> None:
        node = self.nodes[party]
        said = node.start()
        self._keep(party)
        self._say(party, said)

    def _say(self, party: int, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Alarm):
                self._push(self.time + output.after, (party, output))
            else:
                self._send(output if output.sender == party else output._replace(sender=party))

    def _send(self, message: Message) -> None:
        """Put a message on its way: no message names its sender, the link does."""
        self.sent += 1
        pair = (message.sender, message.receiver)
        start = self._free(*pair)
        if self.schedule is not None:
            self._push(start + self.schedule(message), (message.receiver, message))
            return
        link = self.link if isinstance(self.link, Link) else self.link(*pair)
        seconds, body = link.transit(message.body, self._rng)
        arrival = start + seconds
        arrived = message if body is message.body else message._replace(body=body)
        if not (link.reorder and self._rng.random() < link.reorder):
            arrival = self._last[pair] = max(arrival, self._last.get(pair, 0.0))
        self._push(arrival, (message.receiver, arrived))
        if link.duplicate and self._rng.random() < link.duplicate:
            self._push(arrival + link.delay.draw(self._rng), (message.receiver, arrived))

    def _free(self, sender: int, receiver: int) -> float:
        """Return when a message can leave: now, or when the last partition between the two is over."""
        start, moved = self.time, True
        while moved:
            moved = False
            for partition in self.partitions:
                if partition.cuts(sender, receiver, start):
                    start, moved = partition.end, True
        return start

    def _push(self, time: float, what: Any) -> None:
        self._count += 1
        heapq.heappush(self._queue, (time, self._count, what))

    def _keep(self, party: int) -> None:
        """Write a checkpoint of who may crash, whenever it stands elsewhere, before anyone hears of it."""
        node, kept = self.nodes[party], self._kept.get(party)
        if party in self._mortal and (kept is None or kept.stands != node.stands):
            self._kept[party] = Kept(node.stands, node.state(), node.said())

    def _crash(self, event: Crash) -> None:
        """Stop a party, or start it again with what it keeps; then it and its peers repeat themselves."""
        party = event.party
        if party in self.nodes:
            del self.nodes[party]
            for peer in self.nodes.values():
                peer.absent.add(party)
            return
        node = self.nodes[party] = self.made(party)
        node.life = self._lives[party] = self._lives[party] + 1
        if event.keeps:
            node.restore(self._kept[party].state)
            node.recall(self._kept[party].said)
        self._begin(party)
        for other, peer in self.nodes.items():
            if other != party:
                peer.absent.discard(party)
                self._say(other, peer.again(party))
                self._say(party, node.again(other))
