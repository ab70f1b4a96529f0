"""What a party tells of itself: to Prometheus, and to those whom its authority knows."""

from __future__ import annotations

import socket
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

import varangian as vg
from varangian.engines.multiparty.cluster import Cluster, free_ports
from varangian.engines.multiparty.course import Course
from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.keys import make_keys
from varangian.engines.multiparty.metrics import serve_metrics
from varangian.engines.multiparty.status import ask_all
from varangian.errors import DataError, ParameterError
from varangian.protocols import Single

SPEC = vg.Experiment(model="logistic", workers=2, steps=100_000)


def test_only_those_whom_the_authority_knows_are_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    directory = Directory(SPEC, Single(workers=2), metrics={"server0": port})
    make_keys(tmp_path / "other", {"server0": (), "worker0": (), "worker1": ()})
    with Cluster(directory) as cluster:
        course = Course(cluster)
        for event in cluster.events(300):
            course.note(event)
            if course.standing["server0"].step > 3:
                break
        known, of_other = cluster.directory, replace(cluster.directory, keys=tmp_path / "other")
        told = ask_all(known, "worker1", seconds=120.0)["server0"]
        assert told is not None
        assert told["step"] > 3
        assert {name: peer["alive"] for name, peer in told["peers"].items()} == {
            "worker0": True,
            "worker1": True,
        }
        assert ask_all(of_other, seconds=2.0) == {"server0": None}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            page = answer.read().decode()
    assert 'varangian_peer_alive{party="server0",peer="worker1"} 1.0' in page
    assert 'varangian_seconds_total{party="server0",purpose="aggregate"}' in page
    assert float(page.split('varangian_step{party="server0"} ')[1].split()[0]) > 3


def test_a_port_for_metrics_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DataError, match="No metrics at"):
            serve_metrics(taken.getsockname()[1], dict)


def test_nobody_can_be_asked_without_an_address_or_keys(tmp_path: Path) -> None:
    directory = Directory(SPEC, Single(workers=2), keys=tmp_path)
    with pytest.raises(ParameterError, match="No party has an address"):
        ask_all(directory)
    with pytest.raises(DataError, match=r"authority\.crt cannot be read"):
        ask_all(replace(directory, addresses={"server0": "127.0.0.1:1"}))
