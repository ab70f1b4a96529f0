"""Twenty thousand histories of each protocol, in a process of their own: there no call is type-checked."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from bare import bare

from varangian.engines.network.histories import PROTOCOLS, Broken, Tally, many, tally
from varangian.protocols import FAULTS

HISTORIES = 20_000
FAULTY = {
    "crash",
    "amnesia",
    "second values",
    *(fault.__name__ for fault in FAULTS),
    "Partial",
    "Fickle",
    "Impersonating",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_breaks_in_twenty_thousand_histories(protocol: str) -> None:
    count, broken, injected, refused, sums = bare(
        Path(__file__).with_name("played.py"), "played", protocol, HISTORIES
    )
    replay = [f"varangian history {protocol} --seed {seed} --trace  # {how}" for seed, how in broken.items()]
    assert not broken, "\n".join(replay)
    assert count == HISTORIES
    rare = {name for name in FAULTY if injected.get(name, 0) < 100}
    assert rare == ({"Equivocating"} if protocol == "single" else set()), "one server hears one story"
    for reason in ("REPEATED", "CONFLICTING", "MALFORMED", "UNKNOWN"):
        assert refused[reason] >= 100, refused
    if "left" in sums:
        values, total, most = sums["left"]
        assert most <= 0.5 + 1e-9
        assert 0 < total / values < 0.5


def test_batches_make_one_tally() -> None:
    parts = list(many("single", 300, first=5))
    assert [part.count for part in parts] == [250, 50]
    whole, once = sum(parts, Tally("single")), tally("single", 5, 300)
    assert whole == once
    assert math.isnan(whole.mean("left"))


def test_processes_change_nothing() -> None:
    assert list(many("single", 260, jobs=2)) == list(many("single", 260))


def test_means_are_judged() -> None:
    Tally("replicated").judge()
    with pytest.raises(Broken, match="contracts"):
        Tally("replicated", sums={"gathered": (2, 1.5, 1.0)}).judge()
    with pytest.raises(Broken, match="rejects"):
        Tally("synchronous", sums={"asked": (1, 1.0, 1.0)}).judge()
