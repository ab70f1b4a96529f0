"""Rules and attacks as text: spellings, fields, nearest names, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

import varangian as vg
from varangian.core.stages import Stage
from varangian.errors import ChainError, ParameterError, UnknownNameError, VarangianError
from varangian.specification import attack_names, parse_attack, parse_rule, rule_names
from varangian.specification.names import canonical, read_value

RULES: dict[str, Stage] = {
    "krum": vg.Krum(f=2),
    "KRUM": vg.Krum(f=2),
    " krum ": vg.Krum(f=2),
    "krum:f=1": vg.Krum(f=1),
    "krum:neighbours=4": vg.Krum(f=2, neighbours=4),
    "krum:neighbours=none": vg.Krum(f=2),
    "krum:as_released=true": vg.Krum(f=2, as_released=True),
    "krum:as_released=False": vg.Krum(f=2),
    "multi-krum:m=3": vg.MultiKrum(f=2, m=3),
    "multikrum": vg.MultiKrum(f=2),
    "MeanAroundMedian": vg.MeanAroundMedian(f=2),
    "mean-around-median": vg.MeanAroundMedian(f=2),
    "meamed": vg.MeanAroundMedian(f=2),
    "trmean": vg.TrimmedMean(f=2),
    "rfa": vg.GeometricMedian(f=2),
    "geomed:nu=0.1,steps=8": vg.GeometricMedian(f=2, nu=0.1, steps=8),
    "brute": vg.MinimumDiameterAveraging(f=2),
    "mda": vg.MinimumDiameterAveraging(f=2),
    "cge": vg.ComparativeGradientElimination(f=2),
    "cc:radius=1.5,steps=3": vg.CenteredClipping(f=2, radius=1.5, steps=3),
    "cc: radius = 1e-3 , steps = 2": vg.CenteredClipping(f=2, radius=1e-3, steps=2),
    "aksel:keep=n-f": vg.Aksel(f=2, keep="n-f"),
    "average": vg.Average(),
    "fltrust": vg.FLTrust(),
    "nnm+trmean": vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
    " nnm + trmean ": vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
    "arc+nnm+cc:radius=1": vg.chain(
        vg.AdaptiveClipping(f=2), vg.NearestNeighborMixing(f=2), vg.CenteredClipping(f=2, radius=1)
    ),
    "bucketing:s=3+median": vg.chain(vg.Bucketing(f=2, s=3), vg.Median(f=2)),
    "clipping:radius=2+average": vg.chain(vg.Clipping(radius=2), vg.Average()),
    "nnm:f=1+krum:f=1": vg.chain(vg.NearestNeighborMixing(f=1), vg.Krum(f=1)),
}
ATTACKS: dict[str, vg.Attack | None] = {
    "none": None,
    " None ": None,
    "alie": vg.ALittleIsEnough(),
    "little": vg.ALittleIsEnough(),
    "ALIE:z=1.5": vg.ALittleIsEnough(z=1.5),
    "a-little-is-enough:sign=1": vg.ALittleIsEnough(sign=1),
    "alittleisenough:z=none": vg.ALittleIsEnough(),
    "ipm": vg.InnerProductManipulation(),
    "empire:epsilon=2": vg.InnerProductManipulation(epsilon=2),
    "inner-product-manipulation": vg.InnerProductManipulation(),
    "sign-flip": vg.SignFlip(),
    "signflip": vg.SignFlip(),
    "scale:c=-3.5": vg.Scale(c=-3.5),
    "min-max:along=unit": vg.MinMax(along="unit"),
    "nan": vg.NonFinite(),
    "non-finite:kind=mix": vg.NonFinite(kind="mix"),
    "nan:kind=nan": vg.NonFinite(),
    "nan:kind=+inf": vg.NonFinite(kind="+inf"),
    "nan:kind=-inf": vg.NonFinite(kind="-inf"),
    "optimal": vg.Optimal(),
    "optimal:ipm": vg.Optimal(vg.InnerProductManipulation()),
    "optimal:ipm:epsilon=0.5": vg.Optimal(vg.InnerProductManipulation(epsilon=0.5)),
    "optimal:candidates=5,rounds=2": vg.Optimal(candidates=5, rounds=2),
    "hidden-vulnerability:coordinate=none": vg.HiddenVulnerability(coordinate=None),
    "bulyan-attack:coordinate=3": vg.HiddenVulnerability(coordinate=3),
    "mimic:warmup=7": vg.Mimic(warmup=7),
    "label-flip": vg.LabelFlip(),
    "malformed-input:factor=-2": vg.MalformedInput(factor=-2),
}


@pytest.mark.parametrize("text", RULES)
def test_rules(text: str) -> None:
    assert parse_rule(text, 2) == RULES[text]


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks(text: str) -> None:
    assert parse_attack(text) == ATTACKS[text]


@pytest.mark.parametrize("kind", [*vg.RULES, *vg.MIXERS])
def test_every_rule_has_its_names(kind: type[Stage]) -> None:
    names = rule_names()
    for name in (canonical(kind), kind.__name__.lower(), *kind.short_names):
        assert names[name] is kind


@pytest.mark.parametrize("kind", vg.ATTACKS)
def test_every_attack_has_its_names_and_defaults(kind: type[vg.Attack]) -> None:
    names = attack_names()
    for name in (canonical(kind), kind.__name__.lower(), *kind.short_names):
        assert names[name] is kind
        assert parse_attack(name) == kind()


def test_no_name_means_two_things() -> None:
    for catalogue in ([*vg.RULES, *vg.MIXERS], vg.ATTACKS):
        spelled = [{canonical(k), k.__name__.lower(), *k.short_names} for k in catalogue]
        assert sum(map(len, spelled)) == len(set().union(*spelled))


WRONG_RULES: list[tuple[str, type[VarangianError], str]] = [
    ("krumm", UnknownNameError, "Did you mean 'krum'"),
    ("trimed-mean", UnknownNameError, "Did you mean 'trimmed-mean'"),
    ("", UnknownNameError, "Known: .*krum"),
    ("krum+", UnknownNameError, "Known: "),
    ("zzzzzz", UnknownNameError, "Known: .*krum"),
    ("cc:radios=1", UnknownNameError, "Did you mean 'radius'"),
    ("krum:m=2", UnknownNameError, "field of Krum"),
    ("cc", ParameterError, "needs radius: write centered-clipping:radius="),
    ("clipping", ParameterError, "needs radius"),
    ("krum:3", ParameterError, "no field=value pair"),
    ("krum:f=true", ParameterError, "f must be an integer"),
    ("krum:f=-1", ParameterError, "f must be at least 0"),
    ("cc:radius=nan", ParameterError, "radius must be a finite number"),
    ("cc:radius=-1", ParameterError, "radius must be above 0"),
    ("krum+nnm", ChainError, "Put mixers first"),
    ("nnm:f=1+krum", ChainError, "Declare one f"),
]
WRONG_ATTACKS: list[tuple[str, type[VarangianError], str]] = [
    ("optimall", UnknownNameError, "Did you mean 'optimal'"),
    ("", UnknownNameError, "Known: "),
    ("alie:zz=1", UnknownNameError, "Did you mean 'z'"),
    ("optimal:krum", UnknownNameError, "no attack called 'krum'"),
    ("optimal:none", ParameterError, "an attack on a line"),
    ("optimal:nan", ParameterError, "an attack on a line"),
    ("optimal:mimic", ParameterError, "an attack on a line"),
    ("optimal:candidates=2", ParameterError, "candidates must be at least 3"),
    ("scale:c", ParameterError, "no field=value pair"),
    ("scale:c=inf", ParameterError, "c must be a finite number"),
    ("nan:kind=big", ParameterError, "kind must be one of"),
    ("mimic:warmup=0", ParameterError, "warmup must be at least 1"),
]


@pytest.mark.parametrize(("text", "kind", "words"), WRONG_RULES)
def test_rules_that_cannot_be_read(text: str, kind: type[VarangianError], words: str) -> None:
    with pytest.raises(kind, match=words):
        parse_rule(text, 2)


@pytest.mark.parametrize(("text", "kind", "words"), WRONG_ATTACKS)
def test_attacks_that_cannot_be_read(text: str, kind: type[VarangianError], words: str) -> None:
    with pytest.raises(kind, match=words):
        parse_attack(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("none", None),
        ("True", True),
        ("false", False),
        ("n-f", "n-f"),
    ],
)
def test_values(text: str, value: Any) -> None:
    read = read_value(text)
    assert read == value
    assert type(read) is type(value)
