"""Every rule and every mixer against the float64 brute force written from its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from cases import Case, cases

import varangian as vg
from varangian.core.randomness import Stream

COMPARED = 300
GENERATED = 480


@dataclass(frozen=True)
class Subject:
    """A stage to test, its oracle, and the least n = least + per_f * f that it accepts."""

    name: str
    least: int
    per_f: int
    run: Callable[[Case, torch.Tensor], Any]
    truth: Callable[[Case, np.ndarray], np.ndarray]
    most_f: int = 3


def shares(case: Case) -> np.ndarray:
    weights = np.random.default_rng(case.seed + 1).uniform(0.5, 1.5, case.n)
    return weights / weights.sum()


def mass(case: Case) -> float:
    return min(0.45, case.f / case.n)


def own(case: Case) -> torch.Tensor:
    return torch.from_numpy(case.x[0].copy())


def dnc_masks(case: Case) -> list[np.ndarray]:
    rule = vg.DnC(f=case.f, coordinates=4)
    d = case.x.shape[1]
    return [np.isin(np.arange(d), chosen) for chosen in rule.subsets(d, Stream(case.seed)).numpy()]


def s(name: str, least: int, per_f: int, make: Callable[[Case], Any], truth: Any, most_f: int = 3) -> Subject:
    return Subject(name, least, per_f, lambda case, x: make(case)(x), truth, most_f)


SUBJECTS = [
    s("average", 1, 1, lambda c: vg.Average(), lambda c, x: oracle.average(x)),
    s("median", 1, 2, lambda c: vg.Median(f=c.f), lambda c, x: oracle.median(x)),
    s(
        "median lower",
        1,
        2,
        lambda c: vg.Median(f=c.f, as_released=True),
        lambda c, x: oracle.median(x, lower=True),
    ),
    s("trimmed mean", 1, 2, lambda c: vg.TrimmedMean(f=c.f), lambda c, x: oracle.trimmed_mean(x, c.f)),
    s(
        "meamed",
        1,
        2,
        lambda c: vg.MeanAroundMedian(f=c.f),
        lambda c, x: oracle.mean_around_median(x, c.n - c.f),
    ),
    s("phocas", 1, 2, lambda c: vg.Phocas(f=c.f), lambda c, x: oracle.phocas(x, c.f)),
    s("krum", 3, 2, lambda c: vg.Krum(f=c.f), lambda c, x: oracle.krum(x, c.f)),
    s(
        "krum released",
        3,
        2,
        lambda c: vg.Krum(f=c.f, as_released=True),
        lambda c, x: oracle.krum(x, c.f, neighbours=c.n - c.f - 1, squared=False),
    ),
    s(
        "krum neighbours",
        3,
        2,
        lambda c: vg.Krum(f=c.f, neighbours=2),
        lambda c, x: oracle.krum(x, c.f, neighbours=2),
    ),
    s("multi-krum", 3, 2, lambda c: vg.MultiKrum(f=c.f), lambda c, x: oracle.multi_krum(x, c.f)),
    s(
        "multi-krum m=1",
        3,
        2,
        lambda c: vg.MultiKrum(f=c.f, m=1),
        lambda c, x: oracle.multi_krum(x, c.f, m=1),
    ),
    s("bulyan", 3, 4, lambda c: vg.Bulyan(f=c.f), lambda c, x: oracle.bulyan(x, c.f), 2),
    s(
        "bulyan theta",
        3,
        4,
        lambda c: vg.Bulyan(f=c.f, theta=2 * c.f + 1),
        lambda c, x: oracle.bulyan(x, c.f, theta=2 * c.f + 1),
        2,
    ),
    s(
        "bulyan released",
        3,
        4,
        lambda c: vg.Bulyan(f=c.f, as_released=True),
        lambda c, x: oracle.bulyan_as_released(x, c.f),
        2,
    ),
    s("multi-bulyan", 3, 4, lambda c: vg.MultiBulyan(f=c.f), lambda c, x: oracle.multi_bulyan(x, c.f), 2),
    s("mda", 1, 2, lambda c: vg.MinimumDiameterAveraging(f=c.f), lambda c, x: oracle.mda(x, c.f)),
    s("aksel", 1, 2, lambda c: vg.Aksel(f=c.f), lambda c, x: oracle.aksel(x)),
    s("aksel n-f", 1, 2, lambda c: vg.Aksel(f=c.f, keep="n-f"), lambda c, x: oracle.aksel(x, keep=c.n - c.f)),
    s("cge", 1, 2, lambda c: vg.ComparativeGradientElimination(f=c.f), lambda c, x: oracle.cge(x, c.f)),
    s(
        "smoothed geometric median",
        1,
        2,
        lambda c: vg.GeometricMedian(f=c.f, nu=0.1, steps=8),
        lambda c, x: oracle.geometric_median(x, 8, 0.1),
    ),
    s(
        "geometric median",
        1,
        2,
        lambda c: vg.GeometricMedian(f=c.f),
        lambda c, x: oracle.exact_geometric_median(x),
    ),
    s(
        "centred clipping",
        1,
        2,
        lambda c: vg.CenteredClipping(f=c.f, radius=0.7),
        lambda c, x: oracle.centered_clipping(x, 0.7, 1, np.zeros(x.shape[1])),
    ),
    s(
        "centred clipping, 3 steps",
        1,
        2,
        lambda c: vg.CenteredClipping(f=c.f, radius=0.7, steps=3),
        lambda c, x: oracle.centered_clipping(x, 0.7, 3, np.zeros(x.shape[1])),
    ),
    s("smea", 1, 2, lambda c: vg.SMEA(f=c.f), lambda c, x: oracle.smea(x, c.f)),
    s("caf", 1, 2, lambda c: vg.CAF(f=c.f), lambda c, x: oracle.caf(x, c.f)),
    s("sign majority", 1, 2, lambda c: vg.SignMajority(f=c.f), lambda c, x: oracle.sign_majority(x)),
    Subject(
        "monna",
        1,
        2,
        lambda c, x: vg.MoNNA(f=c.f)(x, pivot=own(c).to(x.dtype)),
        lambda c, x: oracle.monna(x, x[0], c.f),
    ),
    Subject(
        "fltrust",
        1,
        2,
        lambda c, x: vg.FLTrust()(x, pivot=own(c).to(x.dtype)),
        lambda c, x: oracle.fltrust(x, x[0]),
    ),
    Subject(
        "dnc",
        1,
        2,
        lambda c, x: vg.DnC(f=c.f, coordinates=4)(x, stream=_undo_place(c)),
        lambda c, x: oracle.dnc(x, c.f, dnc_masks(c), 1.0),
    ),
    Subject(
        "condense",
        2,
        2,
        lambda c, x: vg.Condense(f=c.f)(x, stream=_undo_place(c)),
        lambda c, x: oracle.condense(x, vg.Condense(f=c.f).mask(x.shape[1], Stream(c.seed)).numpy()),
    ),
    s(
        "nnm",
        1,
        2,
        lambda c: vg.NearestNeighborMixing(f=c.f),
        lambda c, x: oracle.nearest_neighbor_mixing(x, c.f),
    ),
    Subject(
        "bucketing",
        1,
        2,
        lambda c, x: vg.Bucketing(f=c.f)(x, stream=_undo_place(c)),
        lambda c, x: oracle.bucketing(x, vg.Bucketing(f=c.f).permutation(c.n, Stream(c.seed)).tolist(), 2),
    ),
    s("clipping", 1, 1, lambda c: vg.Clipping(radius=0.7), lambda c, x: oracle.clipping(x, 0.7)),
    s("arc", 1, 2, lambda c: vg.AdaptiveClipping(f=c.f), lambda c, x: oracle.adaptive_clipping(x, c.f)),
    Subject(
        "weighted average",
        1,
        1,
        lambda c, x: vg.Average()(x, weights=shares(c)),
        lambda c, x: oracle.average(x, shares(c)),
    ),
    Subject(
        "weighted trimmed mean",
        1,
        2,
        lambda c, x: vg.TrimmedMean(f=c.f)(x, weights=shares(c), mass=mass(c)),
        lambda c, x: oracle.weighted_trimmed_mean(x, shares(c), mass(c)),
    ),
    Subject(
        "weighted smoothed geometric median",
        1,
        2,
        lambda c, x: vg.GeometricMedian(f=c.f, nu=0.1, steps=8)(x, weights=shares(c), mass=mass(c)),
        lambda c, x: oracle.geometric_median(x, 8, 0.1, shares(c)),
    ),
    Subject(
        "weighted geometric median",
        1,
        2,
        lambda c, x: vg.GeometricMedian(f=c.f)(x, weights=shares(c), mass=mass(c)),
        lambda c, x: oracle.exact_geometric_median(x, shares(c)),
    ),
    Subject(
        "weighted centred clipping",
        1,
        2,
        lambda c, x: vg.CenteredClipping(f=c.f, radius=0.7, steps=2)(x, weights=shares(c), mass=mass(c)),
        lambda c, x: oracle.centered_clipping(x, 0.7, 2, np.zeros(x.shape[1]), shares(c)),
    ),
    Subject(
        "weighted arc",
        1,
        2,
        lambda c, x: vg.AdaptiveClipping(f=c.f)(x, weights=shares(c), mass=mass(c)),
        lambda c, x: oracle.weighted_adaptive_clipping(x, shares(c), mass(c)),
    ),
]


def _undo_place(case: Case) -> Stream:
    """Return the stream that a stage on its own is given."""
    return Stream(case.seed)


def distance(got: np.ndarray, want: np.ndarray, x: np.ndarray) -> float:
    """Return the error relative to the result, or to a thousandth of a typical vector if that is more."""
    floor = 1e-3 * np.median(np.linalg.norm(x, axis=1))
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), floor, 1e-300))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_agrees_with_the_definition(subject: Subject) -> None:
    compared = 0
    for case in cases(subject.least, subject.per_f, GENERATED, most_f=subject.most_f):
        exact = case.x.astype(np.float64)
        try:
            want = subject.truth(case, exact)
        except oracle.Ambiguous:
            continue
        compared += 1
        if compared > COMPARED:
            break
        single = subject.run(case, torch.from_numpy(case.x.copy())).numpy()
        assert single.dtype == np.float32
        assert distance(single, want, exact) <= 1e-5, (case, single, want)
        double = subject.run(case, torch.from_numpy(exact.copy())).numpy()
        assert double.dtype == np.float64
        assert distance(double, want, exact) <= 1e-10, (case, double, want)
    assert compared >= COMPARED, f"only {compared} cases were unambiguous"


def objective(x: np.ndarray, z: np.ndarray, weights: np.ndarray) -> float:
    return float((weights * np.linalg.norm(x - z, axis=1)).sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_geometric_median_is_no_worse_than_a_long_smoothed_iteration(weighted: bool) -> None:
    for case in cases(1, 2, COMPARED):
        exact = case.x.astype(np.float64)
        weights = shares(case) if weighted else np.full(case.n, 1 / case.n)
        options = {"weights": weights, "mass": mass(case)} if weighted else {}
        got = vg.GeometricMedian(f=case.f)(torch.from_numpy(exact.copy()), **options).numpy()
        want = oracle.geometric_median(exact, 300, 1e-12, weights)
        assert objective(exact, got, weights) <= objective(exact, want, weights) * (1 + 1e-10), case


@pytest.mark.parametrize("weighted", [False, True])
def test_geometric_median_is_where_the_pulls_balance(weighted: bool) -> None:
    """At the minimiser the unit pulls of all others do not exceed the weight of the vectors that lie there.

    Unlike the objective, this is not drowned by one huge outlier. What z itself is rounded by is allowed for.
    """
    for case in cases(1, 2, COMPARED):
        exact = case.x.astype(np.float64)
        weights = shares(case) if weighted else np.full(case.n, 1 / case.n)
        options = {"weights": weights, "mass": mass(case)} if weighted else {}
        rule = vg.GeometricMedian(f=case.f)
        z = rule(torch.from_numpy(exact.copy()), **options).numpy()
        gaps = exact - z
        lengths = np.linalg.norm(gaps, axis=1)
        here = lengths == 0
        pull = (weights[~here, None] * gaps[~here] / lengths[~here, None]).sum(0)
        rounded = np.linalg.norm(np.spacing(z)) * (weights[~here] / lengths[~here]).sum()
        assert np.linalg.norm(pull) <= weights[here].sum() + 1e-12 + 4 * rounded, case
        single = rule(torch.from_numpy(case.x.copy()), **options).numpy()
        assert distance(single, z, exact) <= 1e-5, case
