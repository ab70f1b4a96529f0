"""Parties on loopback, all in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engines.multiparty.certificates import Authority

from varangian.engines.multiparty import Host, Limits, Peer
from varangian.engines.multiparty.cluster import free_ports
from varangian.protocols import Node, Topology

AUTHORITY = Authority()
PATIENCE = 120.0
"""Seconds that anything may take on a machine that is busy with other things."""


class Town:
    """The peers of a topology, at addresses of their own; each host is made when it is asked for."""

    def __init__(
        self,
        topology: Topology,
        node: Callable[[int], Node],
        limits: Limits | None = None,
        loopback: str = "127.0.0.1",
    ) -> None:
        self.topology, self.node, self.limits = topology, node, limits or Limits()
        self.peers = [
            Peer(party, topology.name(party), f"{loopback}:{port}")
            for party, port in enumerate(free_ports(topology.n))
        ]

    def host(self, party: int, **changed: Any) -> Host:
        """Return a party's host: it listens where others dial it."""
        pairs = self.topology.links()
        met = {a + b - party for a, b in pairs if party in (a, b)}
        me = self.peers[party]
        given: dict[str, Any] = {
            "node": self.node(party) if "node" not in changed else None,
            "me": me,
            "peers": [self.peers[other] for other in sorted(met)],
            "credentials": AUTHORITY.issued(me.name),
            "listen": me.address if any(other > party for other in met) else None,
            "limits": self.limits,
        }
        return Host(**{**given, **changed})

    async def run(self, hosts: list[Host], seconds: float = PATIENCE) -> None:
        """Run hosts until all are done; tell how they stood if that takes too long."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(host.run() for host in hosts))
        except TimeoutError as error:
            raise AssertionError([host.status() for host in hosts]) from error


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to be true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)
