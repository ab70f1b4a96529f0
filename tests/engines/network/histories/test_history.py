"""A seed is a history, whole and always the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bare import bare

from varangian.engines.network import Constant, Crash, Delivery, Link
from varangian.engines.network.histories import PROTOCOLS, Broken, Scenario, history, play, scenario
from varangian.engines.network.histories.history import Playing
from varangian.protocols import Output, Silent
from varangian.protocols.primary import Replica


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_seed_is_one_history(protocol: str) -> None:
    def told(seed: int) -> list[tuple[float, int, object, bytes]]:
        trace: list[Delivery] = []
        history(protocol, seed, trace)
        return [
            (d.time, d.party, d.what[:-1], np.asarray(getattr(d.what, "body", 0)).tobytes()) for d in trace
        ]

    once = told(3)
    assert once == told(3)
    assert once != told(4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_more_go_wrong_than_a_protocol_bears(protocol: str) -> None:
    for seed in range(200):
        drawn = scenario(protocol, seed)
        bad = {*drawn.faults, *drawn.late, *(crash.party for crash in drawn.crashes)}
        for group in drawn.groups:
            wrong = bad.intersection(group.parties)
            assert len(wrong) <= group.f or (protocol == "single" and wrong == {0})
        if drawn.topology is not None:
            for group, fine in zip(drawn.groups, drawn.topology.groups, strict=True):
                assert group == fine
        assert drawn.sound <= drawn.waited <= drawn.honest


@pytest.mark.parametrize(
    ("protocol", "invariant"), [("replicated", "nobody waits"), ("broadcast", "validity")]
)
def test_one_fault_too_many_is_seen(protocol: str, invariant: str) -> None:
    drawn = next(one for one in (scenario(protocol, seed) for seed in range(99)) if len(one.faults) == 0)
    last = drawn.groups[-1]
    liars = dict.fromkeys(range(last.first, last.first + last.f + 1), Silent())
    with pytest.raises(Broken) as how:
        play(replace(drawn, faults=liars, events=()))
    assert how.value.invariant == invariant


def test_who_crashes_for_good_is_not_waited_for() -> None:
    links = dict.fromkeys(scenario("single", 0).links, Link(Constant()))
    drawn = replace(
        next(one for one in (scenario("single", seed) for seed in range(99)) if one.groups[1].f),
        faults={},
        events=(Crash(1, 0.001),),
    )
    assert 1 not in drawn.waited
    assert play(
        replace(drawn, links={**drawn.links, **{k: v for k, v in links.items() if k in drawn.links}})
    ).sent


TRAINING = ("single", "crash-tolerant", "replicated", "synchronous", "diameter", "witness")
MENDED = {"replicated": (75, 109), "synchronous": (51, 54, 125, 165), "witness": (129, 1052)}
"""Seeds with which somebody once waited for ever: words, or the room for those of others, were forgotten."""


def all_out(protocol: str, seed: int) -> Scenario:
    """Return a scenario in which the power fails, and each party comes back when it likes."""
    drawn = scenario(protocol, seed)
    times = np.random.default_rng(seed).uniform(0.02, 0.2, drawn.n + 1)
    out = tuple(Crash(party, times[-1], times[-1] + times[party]) for party in range(drawn.n))
    return replace(drawn, events=out)


@pytest.mark.parametrize("protocol", TRAINING)
def test_all_may_be_started_again_at_once(protocol: str) -> None:
    """Whoever is restarted repeats its last words: they may have been lost with all others' memory."""
    for seed in range(12):
        waits_for_nobody(all_out(protocol, seed))


@pytest.mark.parametrize("protocol", TRAINING)
def test_all_may_be_started_again_at_once_on_bad_links_and_among_liars(protocol: str) -> None:
    for seed in [*range(20), *MENDED.get(protocol, ())]:
        drawn = all_out(protocol, seed)
        played = Playing(drawn, None)
        played.network.run()
        waiting = [party for party in drawn.honest if not played.network.nodes[party].finished]
        assert not waiting, f"seed {seed}: {waiting} wait for ever"


@pytest.mark.parametrize("protocol", TRAINING)
def test_one_after_the_other_may_be_started_again(protocol: str) -> None:
    for seed in range(8):
        drawn = scenario(protocol, seed)
        order = np.random.default_rng(seed).permutation(drawn.n).tolist()
        waits_for_nobody(
            replace(
                drawn,
                events=tuple(Crash(party, 0.05 * k, 0.05 * k + 0.04) for k, party in enumerate(order, 1)),
            )
        )


def test_who_has_forgotten_all_catches_up() -> None:
    broken = bare(Path(__file__).with_name("forgetful.py"), "broken", TRAINING, 50)
    assert broken == {protocol: {} for protocol in TRAINING}


def robbed(seed: int) -> Scenario:
    """Return a scenario in which the first leader forgets all when, as a rule, everybody has finished.

    Nobody keeps the gradients of the first steps, with which it could begin once more.
    """
    drawn = scenario("crash-tolerant", seed)
    assert drawn.topology is not None
    return replace(
        drawn,
        steps=8,
        window=3,
        topology=replace(drawn.topology, window=3),
        events=(Crash(0, 20.0, 21.0, keeps=False),),
    )


def test_a_leader_that_forgets_all_after_the_end_is_told_the_last_model() -> None:
    for seed in range(20):
        play(robbed(seed))


def test_a_leader_that_forgets_all_waits_for_ever_where_nobody_tells_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell = Replica._tell

    def silent(self: Replica, peers: list[int]) -> list[Output]:
        return tell(self, peers if len(peers) > 1 else [])

    monkeypatch.setattr(Replica, "_tell", silent)
    with pytest.raises(Broken, match="nobody waits"):
        play(robbed(3))


def test_one_server_that_knows_the_model_has_to_be_left() -> None:
    """With n = f servers, f of which crash, one that has forgotten all has nobody to ask."""
    drawn = next(one for one in map(robbed, range(99)) if one.groups[0].n == 2)
    with pytest.raises(Broken, match="nobody waits"):
        play(replace(drawn, events=(Crash(0, 20.0), Crash(1, 20.0, 21.0, keeps=False))))


def waits_for_nobody(drawn: Scenario) -> None:
    """Play a scenario without liars on usual links; what is proven of the sound is proven of nobody here."""
    links = dict.fromkeys(drawn.links, Link(Constant(0.01)))
    honest = replace(drawn, faults={}, late=frozenset(), links=links)
    played = Playing(honest, None)
    played.network.run()
    for party, node in played.network.nodes.items():
        assert node.finished, f"seed {drawn.seed}: party {party} stands at step {node.step}"
