"""One party: its node, its peers, and the wire between them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from varangian.core.randomness import Stream as Randomness
from varangian.engines.multiparty import quicsetup
from varangian.engines.multiparty.address import host_of
from varangian.engines.multiparty.budget import Budget
from varangian.engines.multiparty.bulk import Door
from varangian.engines.multiparty.identity import Credentials, Equivocation
from varangian.engines.multiparty.inbox import Inbox
from varangian.engines.multiparty.lane import Lane, welcome
from varangian.engines.multiparty.limits import Limits
from varangian.engines.multiparty.link import ClosedError, LeftError, Peer, Stream, dial, listen, until_closed
from varangian.engines.multiparty.notary import Notary
from varangian.engines.multiparty.outbox import roomy
from varangian.engines.multiparty.talk import Common, Conversation
from varangian.engines.multiparty.tally import Breach, Tally
from varangian.engines.multiparty.timing import Stopwatch
from varangian.engines.multiparty.wire import Schema
from varangian.protocols import Alarm, Message, Node, Output

FIRST_PAUSE, PAUSE, GRACE = 0.05, 0.005, 0.2
HANGING_UP = 1.0
"""Seconds that the ends of all conversations may take, beside what still waits."""
CONNECTIONS = 60.0
"""Seconds for which a peer may have saved the right to connect."""


class Host:
    """Run a node among peers, each known by its certificate alone.

    The party dials the peers of lower numbers, and those of higher numbers dial it, at ``listen``
    ("address:port"; port 0 for any that is free). What is said to a peer that is away is dropped: when it is
    back, the node repeats itself, and for that there is always room among what waits to be sent. The node
    has a thread of its own; ``after`` is called there after each of its calls, for checkpoints for instance.
    ``run_id`` is part of what is signed, and two parties that talk must have the same.
    """

    def __init__(
        self,
        node: Node,
        me: Peer,
        peers: Sequence[Peer],
        credentials: Credentials,
        *,
        listen: str | None = None,
        limits: Limits | None = None,
        run_id: str = "",
        randomness: Randomness | None = None,
        watch: Stopwatch | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        self.node, self.me, self.address = node, me, listen
        self.peers = {peer.party: peer for peer in peers}
        self.limits = roomy(limits or Limits(), node, me.party)
        self.watch, self.after = watch or Stopwatch(), after
        if self.limits.lossy:
            quicsetup.needed()
        self.tallies = {party: Tally() for party in self.peers}
        self.strangers: dict[str, int] = {}
        self.port = 0
        names = {peer.party: peer.name for peer in (me, *peers)}
        self._common = Common(
            me=me.party,
            credentials=credentials,
            schema=Schema(node.mailbox.kinds, self.limits, run_id),
            notary=Notary(credentials, run_id, names, me.party),
            inbox=Inbox(self.peers, self.limits.waiting, node.mailbox.window),
            door=Door(len(self.peers)),
            judge=node.mailbox.refusal,
            rows=node.mailbox.window + 2,
            randomness=randomness or Randomness(),
        )
        self._connects = {party: Budget(self.limits.links_per_second, CONNECTIONS) for party in self.peers}
        self._talks: dict[int, Conversation] = {}
        self._ending = False
        self._thread = ThreadPoolExecutor(1, "node")

    @property
    def evidence(self) -> dict[str, Equivocation]:
        """Return proof against the peers that signed two values on one topic, by name."""
        return {found.signer: found for found in list(self._common.notary.evidence.values())}

    async def run(self, done: Callable[[], bool] | None = None) -> None:
        """Run the node until it is done (finished, by default), and send what still waits.

        Raises      ParameterError where nobody can listen, and what the node raises
        """
        done = done or (lambda: self.node.finished)
        async with AsyncExitStack() as opened:
            await self._open(opened)
            await self._live(done)
            await self._drain()

    def wake(self) -> None:
        """Have ``done`` asked again, though nothing came."""
        self._common.inbox.wake()

    def status(self) -> dict[str, Any]:
        """Return how things stand: the node, its peers, where the time went; numbers and names only."""
        refused: dict[int, dict[str, int]] = {party: {} for party in self.peers}
        counts = [
            ((party, why), n) for party, one in self.tallies.items() for why, n in dict(one.refused).items()
        ]
        for (party, why), n in [*counts, *dict(self.node.refused).items()]:
            known = refused.setdefault(party, {})
            known[why.name.lower()] = known.get(why.name.lower(), 0) + n
        peers = {
            self.peers[party].name: {
                "alive": party in self._talks,
                "datagrams": self._by_datagrams(party),
                "bulk": self._by_bulk(party),
                "step": tally.step,
                "links": tally.links,
                "taken": tally.taken,
                "partial": tally.partial,
                "sent": tally.sent,
                "dropped": tally.dropped,
                "wasted": tally.wasted,
                "bytes_in": tally.bytes_in,
                "bytes_out": tally.bytes_out,
                "refused": refused[party],
            }
            for party, tally in self.tallies.items()
        }
        return {
            "party": self.me.name,
            "step": self.node.step,
            "finished": self.node.finished,
            "quorum_seconds": self.watch.quorum,
            "seconds": self.watch.split(),
            "peers": peers,
            "strangers": dict(self.strangers),
            "turned_away": self._common.door.turned_away,
            "equivocated": sorted(self.evidence),
        }

    async def _open(self, opened: AsyncExitStack) -> None:
        """Listen and dial; what is open is closed in the opposite order, however far this comes."""
        common = self._common
        opened.callback(self._thread.shutdown, wait=False)
        opened.callback(common.notary.close)
        opened.push_async_callback(common.door.close)
        if self.address is not None:
            if common.schema.has_bulky:
                await common.door.open(host_of(self.address), self.limits.bulk_port)
            server, self.port = await listen(
                common.credentials, self.address, self.limits, len(self.peers), self._accept, self.status
            )
            opened.push_async_callback(server.stop, GRACE)
            if self.limits.lossy:
                datagrams = await welcome(
                    common.schema, common.credentials, self.address, self.port, self._lane
                )
                opened.callback(datagrams.close)
        dialled = [peer for peer in self.peers.values() if peer.party < self.me.party]
        tasks = [
            asyncio.ensure_future(self._gossip()),
            *(asyncio.ensure_future(self._dial(p)) for p in dialled),
        ]
        opened.push_async_callback(self._close, tasks)

    async def _close(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for talk in list(self._talks.values()):
            talk.stream.close()

    def _lane(self, name: str) -> Lane | None:
        """Return that of a peer that has dialled, and talks here already."""
        talks = (talk for talk in self._talks.values() if talk.peer.party > self.me.party)
        return next((talk.lane for talk in talks if talk.peer.name == name), None)

    def _by_datagrams(self, party: int) -> bool:
        lane = talk.lane if (talk := self._talks.get(party)) is not None else None
        return lane is not None and lane.channel is not None

    def _by_bulk(self, party: int) -> bool:
        return (talk := self._talks.get(party)) is not None and talk.aside.channel is not None

    async def _live(self, done: Callable[[], bool]) -> None:
        self._say(await self._call(self.node.start))
        while not done():
            if found := await self._common.inbox.turn():
                self._say(await self._call(partial(self._react, found)))

    def _react(self, found: Sequence[Message | Alarm | int]) -> list[Output]:
        outputs: list[Output] = []
        for what in found:
            if isinstance(what, Message):
                outputs += self.node.receive(what)
            else:
                outputs += self.node.ring(what) if isinstance(what, Alarm) else self.node.again(what)
        return outputs

    async def _call(self, call: Callable[[], list[Output]]) -> list[Output]:
        def timed() -> list[Output]:
            start = time.monotonic()
            outputs = call()
            self.watch.worked(time.monotonic() - start, self.node.step)
            if self.after is not None:
                self.after()
            return outputs

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)

    def _say(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Alarm):
                asyncio.get_running_loop().call_later(output.after, self._common.inbox.ring, output)
            elif output.receiver in self._talks:
                self._talks[output.receiver].outbox.put(output)
            elif output.receiver in self.tallies:
                self.tallies[output.receiver].dropped += 1

    async def _accept(self, name: str, stream: Stream) -> None:
        """Talk to a party that has dialled, if it is one of the peers that do."""
        peer = next(
            (one for one in self.peers.values() if one.name == name and one.party > self.me.party), None
        )
        if peer is None:
            self.strangers[name] = self.strangers.get(name, 0) + 1
            return
        if not self.tallies[peer.party].barred and self._connects[peer.party].take(1):
            self.tallies[peer.party].bar(self.limits.penalty_seconds)
        with until_closed(self.me.name, peer.name, self.tallies[peer.party].complaints):
            await self._talk(peer, stream)

    async def _dial(self, peer: Peer) -> None:
        """Talk to a peer, and dial it again whenever the connection ends; later if it has taken leave."""
        pause = FIRST_PAUSE
        while not self._ending:
            before = self.tallies[peer.party].links
            with until_closed(self.me.name, peer.name, self.tallies[peer.party].complaints) as ends:
                await dial(
                    self._common.credentials, peer, self.limits, lambda _, stream: self._talk(peer, stream)
                )
            left = any(isinstance(end, LeftError) for end in ends)
            again = self.tallies[peer.party].links > before
            first = HANGING_UP if left else FIRST_PAUSE
            pause = first if again else min(2 * pause, self.limits.backoff_seconds)
            late = max(0.0, self.tallies[peer.party].barred_until - time.monotonic())
            await asyncio.sleep(late + pause * random.uniform(0.5, 1.5))

    async def _talk(self, peer: Peer, stream: Stream) -> None:
        """Greet a peer; then this conversation replaces the one before."""
        tally = self.tallies[peer.party]
        if tally.barred:
            tally.refuse(Breach.OUSTED)
            raise ClosedError("has to wait")
        talk = Conversation(self._common, peer, stream, tally)
        await talk.greet()
        before = self._talks.get(peer.party)
        self._talks[peer.party] = talk
        if before is not None:
            before.stream.close()
        tally.links += 1
        self.node.absent.discard(peer.party)
        self._common.inbox.repeat(peer.party)
        try:
            await talk.run()
        finally:
            if self._talks.get(peer.party) is talk:
                del self._talks[peer.party]
                self.node.absent.add(peer.party)

    async def _gossip(self) -> None:
        while True:
            await asyncio.sleep(self.limits.gossip_seconds)
            news = self._common.notary.news()
            for talk in self._talks.values() if news else ():
                talk.outbox.put_first(news)  # type: ignore[arg-type]

    async def _drain(self) -> None:
        """Give what waits some time to arrive, and who is back meanwhile what it has missed."""
        self._ending, inbox = True, self._common.inbox
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.linger_seconds + HANGING_UP):
                while self._talks:
                    if back := inbox.last():
                        self._say(await self._call(partial(self._react, back)))
                    for party, talk in self._talks.items():
                        if not talk.outbox.waits and party not in inbox.returned:
                            talk.leave()
                    await asyncio.sleep(PAUSE)
