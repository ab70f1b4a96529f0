"""The bounds are tight: one party fewer and the search finds what breaks, at the bound it finds nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from bare import bare

from varangian.core.randomness import Stream
from varangian.engines.network.search import (
    Plan,
    worst,
)
from varangian.protocols import Averaging, ByDiameter, ByWitness, Group

STREAM = Stream(1)
SEARCHES = Path(__file__).with_name("searches.py")


def test_by_diameter() -> None:
    """An exchange leaves at most 4f / (n - 2f) of the diameter, and the search finds a history that does.

    That is all of it with n = 6f: nobody comes closer, however often they exchange. With n = 6f + 1 it is
    4/5 at f = 1, so one exchange need not halve; ``Averaging.exchanges`` says how many do.
    """
    at_6f, above, more = bare(SEARCHES, "search", "diameter", [[6, 1, 0], [7, 1, 0], [8, 1, 0]], 4000)
    assert at_6f == pytest.approx(1)
    assert above == pytest.approx(4 / 5) == ByDiameter.factor(Group("peer", 7, 1))
    assert more == pytest.approx(4 / 6) == ByDiameter.factor(Group("peer", 8, 1))


def test_by_witness() -> None:
    """With n = 3f somebody waits for ever. With n = 3f + 1, f = 1, half is left at the worst, never more."""
    assert bare(SEARCHES, "search", "witness", [[3, 1, 0]], 400) == [math.inf]
    assert bare(SEARCHES, "search", "witness", [[4, 1, 0]], 3000) == [pytest.approx(1 / 2)]
    assert ByWitness.factor(Group("peer", 4, 1)) == 1 / 2


def test_reliable_broadcast() -> None:
    """With n = 3f a silent liar is enough: 2f + 1 READYs never come. With n = 3f + 1 no plan is."""
    assert bare(SEARCHES, "search", "broadcast", [[3, 1, 0], [4, 1, 0]], 3000) == [1, 0]


def test_workers_of_byzsgd() -> None:
    """With n_w = 3f, waiting for 2f + 1 is for ever, and the median of 2f leaves the honest range."""
    found = bare(SEARCHES, "search", "aggregation", [[3, 1, 3], [3, 1, 2], [4, 1, 3]], 3000, 1.0, 16)
    assert found == [math.inf, 1, 0]


def test_servers_of_byzsgd() -> None:
    """With n_ps = 3f + 1, waiting for 2f + 2 is for ever, and a gather of 2f + 1 brings nobody closer.

    Whatever the order in which honest models come: liars that are fast keep the lowest where it is, and the
    highest. With n_ps = 3f + 2 honest servers come closer in the mean of the orders. In the worst order they
    do not, with any number of servers: that is why the gathers' theorem is about the mean.
    """
    waits, kept, closer = bare(
        SEARCHES, "search", "gathering", [[4, 1, 4], [4, 1, 3], [5, 1, 4]], 150, 1.0, 64
    )
    assert waits == math.inf
    assert kept == 1
    assert closer < 0.97


@pytest.mark.parametrize("way", [ByDiameter, ByWitness])
@pytest.mark.parametrize(("n", "f"), [(7, 1), (8, 1), (13, 2), (19, 3), (4, 0)])
def test_as_many_exchanges_as_halve(way: type[Averaging], n: int, f: int) -> None:
    group = Group("peer", n, f)
    factor = way.factor(group)
    for rounds in range(1, 6):
        exchanges = way.exchanges(group, rounds)
        assert factor**exchanges <= 0.5**rounds + 1e-12
        assert exchanges == 1 or factor ** (exchanges - 1) > 0.5**rounds
    assert way.exchanges(group, 0) == 0
    assert way.exchanges(Group("peer", 6 if way is ByDiameter else 3, 1), 2) == 2


def test_a_search_climbs() -> None:
    target = np.linspace(0, 1, 8)
    found, plan = worst(
        lambda plan: -float(abs(plan.genes - target).sum()), stream=STREAM, genes=8, tries=3000
    )
    assert found > -0.3
    assert worst(lambda plan: math.nan, stream=STREAM, tries=1)[0] == math.inf
    assert plan.gene("anything") in plan.genes


def test_a_plan_decides_the_same_again() -> None:
    plan = Plan(STREAM.numpy().random(16))
    assert plan.choice("abc", "lie", 1) == plan.choice("abc", "lie", 1) in "abc"
