"""Histories from the command line: one, one delivery after the other, or many."""

from __future__ import annotations

import pytest
from cli.running import Run

from varangian.engines.network.histories import PROTOCOLS
from varangian.protocols import Node


def test_a_seed_is_told(run: Run) -> None:
    done = run("history", "replicated", "--seed", "3")
    assert done.code == 0
    assert done.out.startswith("replicated, seed 3: ")
    assert "all invariants hold" in done.out


def test_a_trace_is_every_delivery_and_always_the_same(run: Run) -> None:
    done = run("history", "single", "--seed", "3", "--trace")
    lines = done.out.splitlines()
    assert "0 -> 1  model at step 0, round 0: [0. 0.]" in done.out
    times = [float(line.split()[0]) for line in lines if "->" in line]
    assert times == sorted(times)
    assert run("history", "single", "--seed", "3", "--trace").out == done.out


def test_all_protocols_are_played(run: Run) -> None:
    done = run("history", "all", "--count", "18")
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out.splitlines()] == list(PROTOCOLS)
    assert all(": 2 histories, " in line and ", 0 broken, " in line for line in done.out.splitlines())


def test_what_breaks_is_told_as_the_command_that_replays_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Node, "takes", lambda self, message: False)
    many = run("history", "single", "--count", "2", "--seed", "5")
    assert many.code == 1
    told = many.out.splitlines()
    assert told[0].startswith("broken: nobody waits: ")
    assert told[1] == "  varangian history single --seed 5 --trace"
    one = run(*told[1].split()[1:])
    assert one.code == 1
    assert one.out.splitlines()[-2:] == told[:2]


def test_what_is_no_protocol_is_refused(run: Run) -> None:
    done = run("history", "singel")
    assert done.code == 2
    assert "'singel' is not one of" in done.err
