"""Every rule, mixer and attack of the catalogues keeps every promise of the kit, alone and in chains."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import varangian as vg
from varangian.aggregators import HALVES, CosineTrust
from varangian.attacks import ATTACKS, Attack
from varangian.core.stages import Stage
from varangian.testing import ATTACK_CHECKS, CHECKS, AttackSubject, Check, Subject

NEEDED: dict[str, Any] = {"radius": 1.5}
"""Values of the fields without a default, f apart."""


def made(kind: type[Stage], f: int) -> Stage:
    """Return a stage with defaults wherever there are any."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(f=f, **{name: value for name, value in NEEDED.items() if name in names})


def subject(kind: type[Stage], f: int) -> Subject:
    """Return a subject with the claims that the attributes of a stage do not tell."""
    stage = made(kind, f)
    if kind is vg.SignMajority:
        return Subject(stage, agreement=False, translation=False, scaling=False)
    if kind is vg.AdaptiveClipping:
        return Subject(stage, agreement=True, scaling=True)
    if kind is CosineTrust:
        return Subject(stage, bounded=False)
    if f == 0 and "Bulyan" in kind.__name__:
        # Two mutual nearest neighbours tie exactly when a score has one neighbour, so the index decides.
        return Subject(stage, order=False)
    return Subject(stage)


KINDS = [*vg.RULES, *vg.MIXERS, *HALVES]
CHAINS = [
    vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.Krum(f=2)),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.GeometricMedian(f=1)),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.Aksel(f=1)),
    vg.chain(vg.Bucketing(f=1, s=2), vg.Median(f=1)),
    vg.chain(vg.Bucketing(f=1, s=2), vg.NearestNeighborMixing(f=1), vg.MultiKrum(f=1)),
    vg.chain(vg.AdaptiveClipping(f=2), vg.NearestNeighborMixing(f=2), vg.Median(f=2)),
    vg.chain(vg.Clipping(radius=2.0, f=1), vg.Average(f=1)),
    vg.chain(vg.AdaptiveClipping(f=1), vg.MinimumDiameterAveraging(f=1)),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.MoNNA(f=1)),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.CenteredClipping(f=1, radius=1.5)),
    vg.chain(vg.Clipping(radius=2.0, f=1), vg.FLTrust(f=1)),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.Bulyan(f=1)),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.AdaptiveClipping(f=1)),
]
VARIANTS = [
    Subject(vg.Average()),
    Subject(vg.Median(f=2, as_released=True)),
    Subject(vg.Average(missing=True)),
    Subject(vg.Median(f=2, missing=True)),
    Subject(vg.Median(f=1, as_released=True, missing=True)),
    Subject(vg.TrimmedMean(f=2, missing=True)),
    Subject(vg.Krum(f=2, as_released=True)),
    Subject(vg.MultiKrum(f=2, m=1)),
    Subject(vg.MultiKrum(f=1, as_released=True)),
    Subject(vg.Bulyan(f=1, theta=3)),
    Subject(vg.Bulyan(f=1, as_released=True)),
    Subject(vg.MeanAroundMedian(f=1, drop=3)),
    Subject(vg.Aksel(f=2, keep="n-f")),
    Subject(vg.GeometricMedian(f=2, nu=0.1, steps=8), scaling=False, bounded=False),
    Subject(vg.GeometricMedian(f=2, nu=0.1), scaling=False),
    Subject(vg.CenteredClipping(f=2, radius=0.5, steps=3)),
    Subject(vg.DnC(f=1, coordinates=2)),
    Subject(vg.Bucketing(f=1, s=3)),
]
SUBJECTS = [
    *(subject(kind, 2) for kind in KINDS),
    *map(Subject, CHAINS),
    *VARIANTS,
]
FORGERS = [AttackSubject(kind()) for kind in ATTACKS]


@pytest.mark.parametrize("check", [check for _, check in CHECKS], ids=[name for name, _ in CHECKS])
@pytest.mark.parametrize("tried", SUBJECTS, ids=lambda tried: repr(tried.stage))
def test_stage_keeps_its_promise(tried: Subject, check: Check) -> None:
    check(tried)


@pytest.mark.parametrize("tried", [subject(kind, 0) for kind in KINDS], ids=lambda tried: repr(tried.stage))
def test_stage_without_faults_keeps_its_promises(tried: Subject) -> None:
    for name in ("shape", "empty", "tolerance", "batch", "order", "agreement", "nonfinite", "theorem"):
        dict(CHECKS)[name](tried)


@pytest.mark.parametrize(
    "check", [check for _, check in ATTACK_CHECKS], ids=[name for name, _ in ATTACK_CHECKS]
)
@pytest.mark.parametrize("tried", FORGERS, ids=lambda tried: repr(tried.attack))
def test_attack_keeps_its_promise(tried: AttackSubject, check: Check) -> None:
    check(tried)


def test_every_entry_is_tried() -> None:
    assert {type(tried.stage) for tried in SUBJECTS} >= {*vg.RULES, *vg.MIXERS, *HALVES}
    assert {type(tried.attack) for tried in FORGERS} == set(ATTACKS)
    assert all(issubclass(kind, Attack) for kind in ATTACKS)
