"""The same numbers as the simulator's, over real sockets and real certificates."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from engines.multiparty.parties import Town, until
from engines.multiparty.toy import toy

import varangian as vg
from varangian.engines.multiparty import Limits
from varangian.engines.network import Network
from varangian.engines.roles import task_of
from varangian.engines.world import World
from varangian.protocols import Decentralised, Replicated, Single, Synchronous, Topology


def test_single_server_is_the_simulator() -> None:
    spec = vg.Experiment(
        workers=8,
        byzantine=2,
        rule=vg.TrimmedMean(f=2),
        attack=vg.ALittleIsEnough(z=1.5),
        steps=50,
        model="logistic",
        evaluate_every=50,
    )
    topology = Single(workers=8, byzantine_workers=2, patience=30.0)
    task = task_of(World.of(spec), topology)
    town = Town(topology, lambda party: topology.node(party, task))
    hosts = [town.host(party) for party in range(topology.n)]
    asyncio.run(town.run(hosts))
    server: Any = hosts[0].node
    assert server.step == spec.steps
    again = task_of(World.of(spec), topology)
    network = Network(lambda party: topology.node(party, again), topology.n)
    assert network.run(lambda: all(node.finished for node in network.nodes.values()))
    simulated: Any = network.nodes[0]
    np.testing.assert_array_equal(server.keeper.theta, simulated.keeper.theta)
    # The simulator multiplies all workers' samples at once, which rounds elsewhere.
    np.testing.assert_allclose(server.keeper.theta, vg.run(spec).parameters.numpy(), rtol=0, atol=1e-6)


def test_several_servers_train() -> None:
    spec = vg.Experiment(workers=4, byzantine=1, rule=vg.Median(f=1), steps=12, model="logistic")
    topology = Replicated(workers=4, byzantine_workers=1, servers=5, byzantine_servers=1, gather_every=5)
    task = task_of(World.of(spec), topology)
    town = Town(topology, lambda party: topology.node(party, task))
    hosts = [town.host(party) for party in range(topology.n)]
    asyncio.run(town.run(hosts))
    models = np.stack([host.node.keeper.theta for host in hosts[:5]])  # type: ignore[attr-defined]
    assert np.isfinite(models).all()
    assert not any(host.evidence for host in hosts)


def test_peers_without_servers_agree() -> None:
    spec = vg.Experiment(workers=4, byzantine=1, rule=vg.TrimmedMean(f=1), steps=6, model="logistic")
    topology = Decentralised(peers=4, byzantine=1, way="witness")
    task = task_of(World.of(spec), topology)
    town = Town(topology, lambda party: topology.node(party, task))
    hosts = [town.host(party) for party in range(topology.n)]
    asyncio.run(town.run(hosts))
    assert all(host.node.step == spec.steps for host in hosts)


FORGETFUL: tuple[Topology, ...] = (
    Replicated(workers=4, byzantine_workers=1, servers=2, byzantine_servers=0),
    Synchronous(workers=4, byzantine_workers=1, servers=2, byzantine_servers=0, patience=0.1),
    Decentralised(peers=4, byzantine=1, way="witness", window=1),
)


@pytest.mark.parametrize("topology", FORGETFUL, ids=["replicated", "synchronous", "by witness"])
def test_who_comes_when_all_have_finished_still_gets_there(topology: Topology) -> None:
    """Of what the others said they keep little, and more of it than may wait at once by default."""
    steps = 8
    town = Town(topology, lambda party: topology.node(party, toy(3, steps)), Limits(outgoing=8))
    *there, late = (town.host(party) for party in range(topology.n))

    async def scene() -> None:
        running = [asyncio.ensure_future(host.run(lambda: False)) for host in there]
        try:
            await until(lambda: all(host.node.finished for host in there))
            await town.run([late])
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(scene())
    assert late.node.finished
