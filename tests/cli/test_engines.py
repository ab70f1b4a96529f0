"""Training by parties that send each other messages, from the command line."""

from __future__ import annotations

import pytest
from cli.running import Run


def test_one_server_gives_the_simulators_accuracy(train: Run) -> None:
    alone, networked = train(), train("--engine", "network")
    assert networked.code == 0
    assert networked.out.splitlines()[2].split()[-2] == alone.out.splitlines()[2].split()[-2]


def test_lying_servers_are_told_apart_from_honest_ones(train: Run) -> None:
    done = train("--engine", "network", "--topology", "replicated", "--fault", "misshapen")
    assert done.code == 0
    holders = [line.split()[0] for line in done.out.splitlines() if line.startswith("server")]
    assert holders == ["server0", "server1", "server2", "server3"]
    assert "of another type or length than agreed" in done.out.splitlines()[-1]


def test_peers_need_no_server(train: Run) -> None:
    peers = ("--engine", "network", "--topology", "decentralised:way=witness")
    done = train(*peers, "--attack", "alie", "--workers", "7", "--byzantine", "2", "--rule", "trmean")
    assert done.code == 0
    assert sum(line.startswith("peer") for line in done.out.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--topology", "single"], "--engine network"),
        (["--engine", "network", "--topology", "replicatd"], "Did you mean 'replicated'?"),
        (["--engine", "network", "--topology", "replicated:servers=3"], "n >= 3f + 2 = 5"),
        (["--engine", "network", "--topology", "replicated:server=3"], "server"),
        (["--engine", "network", "--fault", "noise"], "no server may lie"),
        (["--engine", "network", "--topology", "replicated", "--fault", "nois"], "Did you mean 'noise'?"),
        (["--engine", "network", "--topology", "decentralised"], "n >= 6f + 1 = 25"),
        (["--engine", "network", "--loss", "1.5"], "probability"),
        (["--engine", "network", "nesterov=true", "momentum_at=server"], "momentum_at='worker'"),
    ],
)
def test_what_cannot_be_arranged_is_refused_in_two_lines(train: Run, arguments: list[str], said: str) -> None:
    done = train(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2
