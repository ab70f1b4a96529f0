"""Topologies are values: who is who, who speaks to whom, and which numbers prove something."""

from __future__ import annotations

import pytest
from protocols.parties import FORM, task

import varangian as vg
from varangian.errors import ParameterError, ToleranceError
from varangian.protocols import (
    TOPOLOGIES,
    CrashTolerant,
    Decentralised,
    Replicated,
    Single,
    Synchronous,
    Topology,
)

GOOD: dict[str, tuple[Topology, vg.Stage]] = {
    "single": (Single(workers=5, byzantine_workers=1), vg.TrimmedMean(f=1)),
    "crash": (CrashTolerant(workers=5, byzantine_workers=1), vg.TrimmedMean(f=1)),
    "replicated": (Replicated(workers=4, byzantine_workers=1), vg.TrimmedMean(f=1)),
    "synchronous": (Synchronous(workers=4, byzantine_workers=1), vg.TrimmedMean(f=1)),
    "diameter": (Decentralised(peers=7, byzantine=1), vg.MinimumDiameterAveraging(f=1)),
    "witness": (Decentralised(peers=4, byzantine=1, way="witness"), vg.TrimmedMean(f=1)),
}
BAD: dict[str, tuple[Topology, vg.Stage]] = {
    "few workers": (Replicated(workers=3, byzantine_workers=1), vg.TrimmedMean(f=1)),
    "few servers": (Replicated(workers=4, servers=4, byzantine_servers=1), vg.TrimmedMean(f=1)),
    "small quorum": (
        Replicated(workers=9, byzantine_workers=1, worker_quorum=2),
        vg.TrimmedMean(f=1),
    ),
    "rule on the quorum": (Single(workers=5, byzantine_workers=1), vg.Krum(f=1)),
    "few peers": (Decentralised(peers=6, byzantine=1), vg.MinimumDiameterAveraging(f=1)),
    "peers that need not come closer": (
        Decentralised(peers=11, byzantine=1, quorum=7),
        vg.MinimumDiameterAveraging(f=1),
    ),
    "few witnesses": (Decentralised(peers=3, byzantine=1, way="witness"), vg.TrimmedMean(f=1)),
    "all crash": (CrashTolerant(workers=4, servers=2, byzantine_servers=2), vg.TrimmedMean(f=1)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_topology_stands(name: str) -> None:
    topology, rule = GOOD[name]
    topology.check(rule)
    assert len({topology.name(party) for party in range(topology.n)}) == topology.n
    for party in range(topology.n):
        node = topology.node(party, task())
        assert node.party == party
        assert node.mailbox.kinds == topology.kinds(FORM)
    workers = {party for party in range(topology.n) if topology.name(party).startswith("worker")}
    links = topology.links()
    assert len(set(links)) == len(links)
    assert len(links) == topology.n * (topology.n - 1) // 2 - len(workers) * (len(workers) - 1) // 2
    assert not any(workers.issuperset(link) for link in links)


@pytest.mark.parametrize("name", BAD)
def test_what_proves_nothing_is_refused(name: str) -> None:
    topology, rule = BAD[name]
    with pytest.raises(ToleranceError):
        topology.check(rule)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ParameterError, match="one server"):
        Single(workers=3, servers=2).check(vg.Average())
    with pytest.raises(ParameterError, match="way"):
        Decentralised(peers=4, way="vote")
    assert set(TOPOLOGIES) == {type(topology) for topology, _ in GOOD.values()}
