"""Averaging agreement: how far honest parties can be from each other after an exchange."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from protocols.parties import FORM, body, carry

from varangian.engines.network.histories import rules
from varangian.engines.network.histories.invariants import drift
from varangian.protocols import Agreement, Averaging, Body, ByDiameter, ByWitness, Group, Node


def outcomes(way: type[Averaging], values: tuple[float, ...], group: Group, lies: list[float]) -> list[float]:
    """Return what a party may come to, of honest values some of which are slow, and lies that are told it."""
    n, f = group.n, group.f
    found = []
    for slow in range(f + 1):
        for missing in combinations(range(n - f), slow):
            honest = [body(value) for k, value in enumerate(values) if k not in missing]
            for told in product(lies, repeat=slow):
                vectors: list[Body] = [*(body(lie) for lie in told), *honest]
                rule = rules.least_diameter_mean if way is ByDiameter else rules.trimmed_mean
                found.append(float(rule(vectors, f)[0]))
    return found


@pytest.mark.parametrize("n", [7, 8])
def test_no_exchange_by_diameter_leaves_more(n: int) -> None:
    """All that can happen to honest values 0 or 1: 4f / (n - 2f) of the diameter is left, and no more."""
    group, lies = Group("peer", n, 1), [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
    worst = moved = 0.0
    for ones in range(1, n - 1):
        values = (*[0.0] * (n - 1 - ones), *[1.0] * ones)
        found = outcomes(ByDiameter, values, group, lies)
        worst = max(worst, max(found) - min(found))
        moved = max(moved, *(abs(one - np.mean(values)) for one in found))
    assert worst == pytest.approx(ByDiameter.factor(group))
    assert moved <= drift(ByDiameter, group, 1) + 1e-9


@pytest.mark.parametrize(("n", "f"), [(4, 1), (5, 1), (7, 2), (8, 2)])
def test_no_exchange_by_witness_leaves_more(n: int, f: int) -> None:
    """Any two share n - f vectors, the same for both, and each has up to f more: f / (n - 2f) is left."""
    worst = 0.0
    for ones, more, other in product(range(n - f + 1), range(f + 1), range(f + 1)):
        shared = [body(0.0)] * (n - f - ones) + [body(1.0)] * ones
        one = rules.trimmed_mean(shared + [body(1.0)] * more, f)
        two = rules.trimmed_mean(shared + [body(0.0)] * other, f)
        if more + other <= f:
            worst = max(worst, float(one[0] - two[0]))
    assert worst == pytest.approx(ByWitness.factor(Group("peer", n, f)))


@pytest.mark.parametrize(("way", "n"), [(ByDiameter, 7), (ByWitness, 4)])
def test_all_agree_on_what_all_have(way: type[Averaging], n: int) -> None:
    group = Group("peer", n, 1)
    rule = rules.least_diameter_mean if way is ByDiameter else rules.trimmed_mean
    nodes: dict[int, Node] = {}
    for party in group.parties:
        nodes[party] = Agreement(
            party,
            way.kinds(group, FORM),
            group=group,
            way=way,
            reduce=lambda vectors: rule(vectors, 1),
            vector=body(party),
            rounds=2,
        )
    assert all(isinstance(node, Agreement) and node.outcome is None for node in nodes.values())
    carry(nodes, [one for node in nodes.values() for one in node.start()])
    found = [node.outcome for node in nodes.values() if isinstance(node, Agreement)]
    assert all(one is not None and 0 <= one[0] < n for one in found)
    assert np.ptp(found) <= (n - 1) / 4


def test_no_round_is_no_exchange() -> None:
    group = Group("peer", 4, 1)
    node = Agreement(
        0,
        ByWitness.kinds(group, FORM),
        group=group,
        way=ByWitness,
        reduce=rules.mean,
        vector=body(5),
        rounds=0,
    )
    assert node.start() == []
    assert node.outcome == body(5)
