"""Histories of parties that come back and have forgotten all, for ``test_history``."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, islice

import numpy as np

from varangian.engines.network import Crash, Link, Uniform
from varangian.engines.network.histories import Broken, Scenario, play, scenario

FORGETFUL = {"replicated": (43, 50)}
"""Seeds with which somebody waited for ever once it took for all there is what was not gone at first."""


def forgetful(protocol: str, seed: int) -> Scenario:
    """Return a scenario in which memories are short, and who crashes may have forgotten all when it is back.

    It may be back long after all others have finished.
    """
    drawn, rng = scenario(protocol, seed), np.random.default_rng(seed)
    window = int(rng.integers(2, 5))
    peers = protocol in ("diameter", "witness")
    steps = int(rng.integers(4, 8) if peers else rng.integers(window + 2, window + 7))
    links = dict.fromkeys(drawn.links, Link(Uniform(0.01, 0.015), duplicate=float(rng.choice([0, 0.1]))))
    events = []
    for crash in drawn.crashes:
        if protocol == "single" and crash.party == 0:
            continue
        at = float(rng.uniform(0, 0.3))
        back = at + float(rng.exponential(0.3)) if rng.random() < 0.7 else at + 20
        events.append(Crash(crash.party, at, back, keeps=bool(rng.random() < 0.2)))
    topology = None if drawn.topology is None else replace(drawn.topology, window=window)
    return replace(
        drawn,
        steps=steps,
        window=window,
        links=links,
        late=frozenset(),
        events=tuple(events),
        topology=topology,
    )


def broken(protocols: list[str], histories: int) -> dict[str, dict[int, str]]:
    """Return what broke in so many histories of each protocol in which somebody crashes, by seed."""
    return {protocol: _broken(protocol, histories) for protocol in protocols}


def _broken(protocol: str, histories: int) -> dict[int, str]:
    crashing = (seed for seed in count() if forgetful(protocol, seed).crashes)
    found = {}
    for seed in {*islice(crashing, histories), *FORGETFUL.get(protocol, ())}:
        try:
            play(forgetful(protocol, seed))
        except Broken as how:
            found[seed] = str(how)
    return found
