"""One party of a cluster, as a process runs it: from its file to its last checkpoint."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from varangian.core.randomness import Stream
from varangian.engines.loop import Progress
from varangian.engines.multiparty.checkpoint import Checkpoint
from varangian.engines.multiparty.credentials import read_credentials
from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.host import Host
from varangian.engines.multiparty.link import Peer
from varangian.engines.multiparty.metrics import serve_metrics
from varangian.engines.multiparty.patience import Patience
from varangian.engines.multiparty.record import Record
from varangian.engines.multiparty.timing import Stopwatch, timed
from varangian.engines.roles import task_of
from varangian.engines.threads import threads_for
from varangian.engines.world import World
from varangian.errors import ParameterError
from varangian.folders import write_whole
from varangian.protocols import Liar

STOPPED = 130
PULSE = 0.5
"""Seconds between two looks at whether there is still something to do."""

Event = Mapping[str, Any]


class Party:
    """A party of a directory, with its keys, its checkpoint and its peers.

    ``say`` is told of every step. A party that has finished helps those who are slower, or were away: until
    it is stopped if it ``stays``, else until it has heard nothing new for ``linger_seconds`` of its limits.

    Raises      UnknownNameError, ParameterError, ToleranceError; DataError for keys, data and checkpoints
                that cannot be read; MissingExtraError
    """

    def __init__(
        self,
        directory: Directory,
        name: str,
        world: World | None = None,
        *,
        say: Callable[[Event], None] = lambda event: None,
        stays: bool = False,
    ) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the status tells what gRPC would
        self.directory, self.name, self.say, self.stays = directory, name, say, stays
        self.number, topology = directory.number(name), directory.topology
        credentials = read_credentials(name, directory.paths(name))
        peers = [self._peer(other) for other in _linked(directory, self.number)]
        self.world = world or World.of(directory.experiment)
        self.watch, stream = Stopwatch(), Stream(directory.experiment.seed)
        node = topology.node(self.number, timed(task_of(self.world, topology), self.watch))
        node.life = secrets.randbits(32)
        folder, owner = directory.checkpoints, directory.identity
        checkpoint = None if folder is None else Checkpoint.of(folder, name, owner)
        self.record = Record(node, self.world, checkpoint, directory.every, self._stepped)
        self.resumed = self.record.resume()
        fault = directory.faults.get(name)
        self.host = Host(
            node if fault is None else Liar(node, fault, stream),
            Peer(self.number, name),
            peers,
            credentials,
            listen=directory.listen.get(name, directory.addresses.get(name)),
            limits=directory.limits,
            run_id=owner,
            randomness=stream.at("wire", party=self.number),
            watch=self.watch,
            after=self._look,
        )
        self.node = node
        self._stopped, self._finished = False, False
        self._patience = Patience(directory.limits.linger_seconds)

    def go(self, lifeline: int | None = None, report: Path | None = None) -> int:
        """Run to the end, or until a signal or the end of ``lifeline`` stops it; return the exit code.

        A party that is stopped leaves a checkpoint. ``report`` takes what it has to tell as JSON.
        """
        with threads_for(self.world.flat.d):
            asyncio.run(self._run(lifeline))
        if report is not None:
            text = json.dumps(self.report()).encode()
            write_whole(report, lambda stream: stream.write(text))
        return 0 if self.node.finished else STOPPED

    def stop(self) -> None:
        """Have the party end soon."""
        self._stopped = True
        self.host.wake()

    def _abandoned(self, lifeline: int) -> None:
        """Stop, since who has started this party is gone; its end would be told again and again."""
        asyncio.get_running_loop().remove_reader(lifeline)
        self.stop()

    def report(self) -> dict[str, Any]:
        """Return how things stand, and how good the parameters are of a party that has finished with any."""
        last = self.record.row if self.node.finished else {}
        accuracy = {"accuracy": last["accuracy"]} if "accuracy" in last else {}
        return {**self.host.status(), **accuracy, "metrics": dict(self.record.table)}

    async def _run(self, lifeline: int | None) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, self.stop)
        if lifeline is not None:
            loop.add_reader(lifeline, self._abandoned, lifeline)
        port = self.directory.metrics.get(self.name)
        if port is not None:
            serve_metrics(port, self.host.status)
        pulse = asyncio.ensure_future(self._pulse())
        try:
            await self.host.run(self._done)
            self.record.keep()
        finally:
            pulse.cancel()
            if lifeline is not None:
                loop.remove_reader(lifeline)

    def _done(self) -> bool:
        return self._stopped or (self.node.finished and self._patience.over and not self.stays)

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(PULSE)
            if self.node.finished:
                self.host.wake()

    def _look(self) -> None:
        self._patience.heard(finished=self._finished)
        if self._finished:
            return
        before = self.record.told
        self.record.look()
        if before == 0 < self.record.told:
            self.watch.restart()
        if self.node.finished:
            self._finished = True
            self.say({"event": "finished", "party": self.name})

    def _stepped(self, progress: Progress) -> None:
        self.say({"event": "step", "party": self.name, **asdict(progress)})

    def _peer(self, number: int) -> Peer:
        """Return a peer; those of lower numbers are dialled, and have to have an address."""
        name = self.directory.names[number]
        address = self.directory.addresses.get(name)
        if number < self.number and address is None:
            raise ParameterError(
                f"{self.name} has to dial {name}, and nothing tells where that is. "
                f'Write [addresses] {name} = "host:port".'
            )
        return Peer(number, name, address if number < self.number else None)


def _linked(directory: Directory, party: int) -> list[int]:
    """Return the parties with which one talks."""
    pairs = [pair for pair in directory.topology.links() if party in pair]
    return sorted(b if a == party else a for a, b in pairs)
