"""A cluster's file says what it means, and a directory can be written as the file that says the same."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import varangian as vg
from varangian.engines.multiparty.address import split_address
from varangian.engines.multiparty.credentials import Paths
from varangian.engines.multiparty.directory import Directory, directory_of, read_directory
from varangian.engines.multiparty.limits import Limits
from varangian.engines.multiparty.written import written
from varangian.errors import ParameterError
from varangian.protocols import (
    CrashTolerant,
    Decentralised,
    Equivocating,
    Misdated,
    Noise,
    Replicated,
    Single,
    Synchronous,
    Topology,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "cluster.toml"
SPEC = vg.Experiment(workers=8, byzantine=1, rule=vg.TrimmedMean(f=1), attack=vg.SignFlip(), steps=5)
FULL = Directory(
    SPEC,
    Replicated(workers=8, byzantine_workers=1, servers=6, gather_every=3),
    run="a run",
    party="worker3",
    addresses={"server0": "example.org:7000", "server1": "[::1]:7001"},
    listen={"server0": "0.0.0.0:7000"},
    keys=Path("/keys"),
    credentials={"worker3": Paths(Path("/a.crt"), Path("/b.crt"), Path("/b.key"))},
    checkpoints=Path("/kept"),
    every=3,
    limits=Limits(partial=True, frame_seconds=2.5),
    faults={"server5": Equivocating(), "server4": Noise(scale=3.0), "worker7": Misdated(by=-2)},
    metrics={"server0": 9100},
)


@pytest.mark.parametrize(
    "topology",
    [
        Single(workers=8, byzantine_workers=1),
        CrashTolerant(workers=8, byzantine_workers=1),
        Synchronous(workers=8, byzantine_workers=1, patience=0.25),
        Decentralised(peers=8, byzantine=1, way="witness"),
        FULL.topology,
    ],
    ids=type,
)
def test_what_is_written_reads_as_the_same(topology: Topology) -> None:
    name = topology.name(0)
    directory = replace(
        FULL,
        topology=topology,
        party=name,
        addresses={name: "a:1"},
        listen={},
        faults={name: Equivocating()},
        credentials={},
        metrics={name: 1},
    )
    assert directory_of(tomllib.loads(written(directory)), Path("elsewhere")) == directory
    assert directory_of(tomllib.loads(written(FULL)), Path("elsewhere")) == FULL


def test_the_example_is_what_its_first_line_says() -> None:
    directory = read_directory(EXAMPLE)
    assert (len(directory.names), sorted(directory.faults)) == (13, ["server4", "worker7"])
    assert directory.listening == tuple(f"server{k}" for k in range(5))
    assert directory.experiment.byzantine == 2


def test_who_listens() -> None:
    peers = directory_of({"topology": "decentralised", "experiment": {"workers": 3}}, Path())
    assert peers.listening == ("peer0", "peer1")
    assert directory_of({}, Path()).listening == ("server0",)


def test_hosts_are_those_of_the_addresses() -> None:
    assert FULL.hosts()["server1"] == ("::1",)
    assert FULL.hosts()["worker0"] == ()


def test_parties_of_other_runs_are_strangers() -> None:
    others = [
        replace(FULL, run="another"),
        replace(FULL, experiment=replace(SPEC, seed=2)),
        replace(FULL, topology=replace(FULL.topology, gather_every=4)),
    ]
    assert len({FULL.identity, *(other.identity for other in others)}) == 4
    assert replace(FULL, party="server0", keys=None, faults={}).identity == FULL.identity


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:1.5", "a:x", 7, None])
def test_addresses_that_are_none(text: object) -> None:
    with pytest.raises(ParameterError, match="is no address"):
        split_address(text)
