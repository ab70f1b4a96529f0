"""What distances tell of a step, against the definitions, coordinate by coordinate."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import varangian as vg
from varangian.accounting import Geometry, coefficient
from varangian.accounting import coefficient as coefficient_of
from varangian.accounting.clipping import clipped_mass
from varangian.accounting.coefficient import _climbed, of_set
from varangian.core.shards import InShards
from varangian.errors import ShapeError


def drawn(n: int, d: int, seed: int = 1) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(x: Tensor, a: Tensor, keep: int) -> float:
    """Return the largest |a - mean|^2 / variance over all sets, written as in the theorem."""
    found = []
    for places in combinations(range(len(x)), keep):
        mean = x[list(places)].mean(0)
        variance = (x[list(places)] - mean).square().sum(1).mean()
        found.append(float((a - mean).square().sum() / variance))
    return max(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_cosines_and_the_ratio_are_those_of_the_vectors(dtype: torch.dtype) -> None:
    x = drawn(7, 500).to(dtype) + 1
    a = vg.Median(f=2)(x)
    geometry = Geometry.of(x, a)
    wide = x.double()
    assert geometry.norms.tolist() == pytest.approx(wide.norm(dim=1).tolist(), rel=1e-6)
    wanted = torch.nn.functional.cosine_similarity(wide, a.double()[None])
    assert geometry.cosines.tolist() == pytest.approx(wanted.tolist(), abs=1e-6)
    core = wide[geometry.core(5)]
    ratio = float((core.var(0).sum()).sqrt() / core.mean(0).norm())
    assert geometry.variance_to_norm(5) == pytest.approx(ratio, rel=1e-5)
    assert geometry.variance(5) == pytest.approx(float(core.var(0, unbiased=False).sum()), rel=1e-5)


def test_the_core_leaves_out_those_who_are_far() -> None:
    x = drawn(9, 40)
    x[2] += 50
    x[6] -= 1e9
    assert Geometry.of(x, x[0]).core(7).tolist() == [place not in (2, 6) for place in range(9)]


def test_influence_is_by_how_much_a_mean_moves() -> None:
    x = drawn(6, 30)
    x[4] *= 20
    spread = float(x.var(0, unbiased=False).sum()) ** 0.5
    others = torch.stack([torch.cat([x[:i], x[i + 1 :]]).mean(0) for i in range(6)])
    wanted = ((x.mean(0) - others).norm(dim=1) / spread).tolist()
    assert Geometry.of(x, x.mean(0)).influence(6).tolist() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("size", [1e3, 1e8, 1e15, 1e30])
def test_who_is_ignored_has_no_influence_however_far(size: float) -> None:
    x = drawn(7, 2000).float()
    x[3] = size
    quiet = Geometry.of(x, vg.Krum(f=1)(x)).influence(6)
    loud = Geometry.of(x, x.mean(0)).influence(6)
    assert abs(float(quiet[3])) < 0.5
    assert float(loud[3]) > size / 100


def kinds(x: Tensor, a: Tensor) -> list[tuple[Any, Any]]:
    parts = [[row[:9].reshape(3, 3), row[9:]] for row in x]
    return [
        (x.numpy(), a.numpy()),
        (list(x), a),
        (parts, [a[:9].reshape(3, 3), a[9:]]),
        ([{"w": w, "b": b} for w, b in parts], {"w": a[:9].reshape(3, 3), "b": a[9:]}),
        (vg.InBlocks(lambda: x.split(7, dim=1), shape=tuple(x.shape)), a),
    ]


def test_any_kind_that_a_rule_takes() -> None:
    x = drawn(5, 20)
    a = x.mean(0)
    wanted = Geometry.of(x, a)
    for vectors, aggregate in kinds(x, a):
        found = Geometry.of(vectors, aggregate)
        assert torch.allclose(found.table, wanted.table, rtol=1e-12)
        assert found.d == 20


def test_parts_add_up_and_so_do_shards() -> None:
    x = drawn(5, 20)
    x[1, 3] = x[1, 17] = torch.nan
    a = vg.Median(f=1)(x)
    wanted = Geometry.of(x, a)
    left, right = Geometry.of(x[:, :8], a[:8]), Geometry.of(x[:, 8:], a[8:])
    packed = [
        torch.cat([g.table.flatten(), g.nonfinite.double(), torch.tensor([g.d])]) for g in (left, right)
    ]
    for found in (left + right, left.summed(lambda own: own + packed[1])):
        assert torch.allclose(found.table, wanted.table)
        assert found.nonfinite.tolist() == wanted.nonfinite.tolist() == [0, 2, 0, 0, 0]
        assert found.d == wanted.d == 20
    shard = Geometry.of(InShards(x[:, :8], lambda here: here + right.table), a[:8])
    assert torch.allclose(shard.table, wanted.table)


def test_an_aggregate_that_is_not_finite_is_infinitely_far() -> None:
    x = drawn(5, 20)
    x[1, 3] = torch.nan
    geometry = Geometry.of(x, vg.Average()(x))
    assert coefficient(geometry.between, geometry.to_aggregate, 4) == (float("inf"), True)
    assert of_set(geometry.between, geometry.to_aggregate, geometry.core(4)) == float("inf")


def test_several_problems_at_once_are_refused() -> None:
    x = drawn(6, 4).view(2, 3, 4)
    with pytest.raises(ShapeError, match="Account for each apart"):
        Geometry.of(x, x[:, 0])


@pytest.mark.parametrize(("n", "keep"), [(5, 4), (7, 5), (9, 5), (9, 9)])
def test_the_coefficient_is_that_of_the_definition(n: int, keep: int) -> None:
    for seed in range(5):
        x = drawn(n, 12, seed)
        x[0] *= 30
        for a in (x[0], x.mean(0), x.median(0).values):
            geometry = Geometry.of(x, a)
            found, exact = coefficient(geometry.between, geometry.to_aggregate, keep)
            assert exact
            assert found == pytest.approx(by_definition(x, a, keep), rel=1e-9)


def test_exchanges_find_nearly_the_worst_set() -> None:
    """Where all sets can be tried, what exchanges lead to is never more, and seldom less."""
    short = 0
    for seed in range(40):
        x = drawn(12, 3 if seed % 2 else 300, seed)
        x[:3] += 2 * (seed % 4)
        geometry = Geometry.of(x, vg.Median(f=4)(x) if seed % 3 else x[0])
        worst, exact = coefficient_of(geometry.between, geometry.to_aggregate, 8)
        assert exact
        starts = torch.stack([geometry.between[i].argsort().argsort() < 8 for i in range(12)]).double()
        found = float(_climbed(starts, geometry.between, geometry.to_aggregate, 8).max()) - 1
        assert found <= worst * (1 + 1e-9)
        short += found < 0.95 * worst
    assert short == 0


def test_many_parties_take_no_search_of_all_sets() -> None:
    x = drawn(60, 50)
    geometry = Geometry.of(x, x.mean(0) + 1)
    found, exact = coefficient(geometry.between, geometry.to_aggregate, 40)
    assert not exact
    assert found >= of_set(geometry.between, geometry.to_aggregate, geometry.core(40))


VALUES = st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=2), min_size=7, max_size=7)
PROVEN = [vg.Median(f=2), vg.TrimmedMean(f=2), vg.Krum(f=2), vg.GeometricMedian(f=2), vg.SMEA(f=2)]


@given(VALUES, st.sampled_from(PROVEN))
def test_no_step_exceeds_what_is_proven(values: list[list[float]], rule: vg.Stage) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    geometry = Geometry.of(x, rule(x))
    found, _ = coefficient(geometry.between, geometry.to_aggregate, 5)
    bound = rule.kappa(7)
    assert bound is not None
    if found > bound * (1 + 1e-6):  # only where all of a set agree to rounding is there nothing to divide by
        variances = [float(x[list(h)].var(0, unbiased=False).sum()) for h in combinations(range(7), 5)]
        assert min(variances) <= 1e-9 * max(1.0, float(x.square().sum(1).max()))


def test_vectors_that_agree_leave_nowhere_else_to_be() -> None:
    same = torch.zeros(4, 4, dtype=torch.float64)
    assert coefficient(same, torch.zeros(4, dtype=torch.float64), 3) == (0.0, True)
    assert coefficient(same, torch.ones(4, dtype=torch.float64), 3) == (float("inf"), True)


def test_clipped_mass_is_what_did_not_count() -> None:
    x = torch.stack([torch.full((4,), float(size)) for size in (1, 1, 1, 10)])
    norms = x.norm(dim=1).double()
    for rule in (
        vg.chain(vg.Clipping(radius=2.0), vg.Average()),
        vg.chain(vg.Clipping(radius=2.0), vg.Median(f=0)),
    ):
        assert clipped_mass(rule, norms, rule.aggregate(x).weights) == pytest.approx(0.225)
    assert clipped_mass(vg.Average(), norms, vg.Average().aggregate(x).weights) == 0
    assert clipped_mass(vg.Krum(f=0), norms, vg.Krum(f=0).aggregate(x).weights) == 0.75
    assert clipped_mass(vg.Median(f=1), norms, None) is None
    assert np.isclose(
        clipped_mass(vg.chain(vg.AdaptiveClipping(f=1), vg.Median(f=1)), norms, None) or 0, 0.225
    )
