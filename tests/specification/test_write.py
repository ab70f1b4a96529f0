"""Writing an experiment and reading it again gives the same experiment."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import varangian as vg
from varangian.aggregators import HALVES
from varangian.attacks.attack import Scene
from varangian.data.splits import SPLITS
from varangian.errors import ParameterError, ToleranceError
from varangian.optim import Schedule
from varangian.privacy import Privacy
from varangian.specification import from_strings, from_toml, identity, parse_attack, parse_rule, to_toml
from varangian.specification.spell import spell_attack, spell_privacy, spell_rule, spell_split

# The checks of types sample long containers with the random module; no value depends on it.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

LARGE = 60
"""Workers enough for every rule with its f of 3 at most."""

positive = st.floats(1e-30, 1e30)
counts = st.integers(1, 10**7)
words = {
    "keep": ["mid", "n-f"],
    "kind": ["nan", "+inf", "-inf", "mix"],
    "along": ["unit", "std", "sign"],
    "clip": ["sample", "batch"],
}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.sampled_from(options) for name, options in words.items()},
    **{name: st.none() | st.integers(1, 9) for name in ("drop", "neighbours", "m", "theta", "coordinate")},
    **dict.fromkeys(("nodes", "steps", "iterations", "coordinates", "warmup"), counts),
    **dict.fromkeys(("nu", "tolerance", "radius", "c", "std", "scale", "epsilon", "norm"), positive),
    "f": st.integers(0, 3),
    **dict.fromkeys(("as_released", "missing"), st.booleans()),
    "p": st.floats(0.01, 0.99),
    "s": st.integers(1, 4),
    "z": st.none() | st.floats(-9, 9),
    "sign": st.sampled_from([-1, 1]),
    "candidates": st.integers(3, 20),
    "rounds": st.integers(0, 4),
    "factor": st.floats(-1e30, 1e30),
    "delta": st.floats(1e-12, 0.5),
    "attack": st.deferred(lambda: lines),
}
"""Values for every field of a stage or an attack; a new field has to be entered here."""


def made(kind: type) -> st.SearchStrategy[Any]:
    """Draw values of a class with any of its fields that it accepts."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> Any:
        values = {field.name: draw(FIELDS[field.name]) for field in fields(kind)}
        try:
            return kind(**values)
        except ParameterError:
            assume(False)

    return draw_one()


attacks = st.sampled_from(vg.ATTACKS).flatmap(made)
lines = st.sampled_from([kind for kind in vg.ATTACKS if issubclass(kind, vg.LineAttack)]).flatmap(made)
mixers = st.sampled_from(vg.MIXERS).flatmap(made)
plain_rules = st.sampled_from(vg.RULES).flatmap(made)
chains = st.builds(
    lambda before, rule: vg.chain(*before, rule, allow_different_f=True),
    st.lists(mixers, min_size=1, max_size=3),
    plain_rules.filter(lambda rule: not rule.missing),
)
rules = plain_rules | chains
shares = st.none() | st.lists(positive, min_size=2, max_size=2)
mixtures = st.builds(
    lambda one, two, told: vg.RuleMixture((one, two), tuple(told or ())), rules, rules, shares
)
splits = st.one_of(
    st.builds(vg.IID),
    st.builds(vg.Pooled),
    st.builds(vg.Dirichlet, positive),
    st.builds(vg.SortedShards, st.integers(1, 9)),
    st.builds(vg.SortedBlocks, st.integers(1, 9)),
    st.builds(vg.GammaSimilarity, st.floats(0, 1)),
    st.builds(vg.ExplicitSizes, st.lists(st.integers(1, 99), min_size=1, max_size=5).map(tuple)),
    st.builds(vg.ExplicitSizes, st.lists(st.floats(1e-9, 0.2), min_size=1, max_size=5).map(tuple)),
)
decays = st.builds(vg.InverseDecay, positive, positive, counts)
pieces = st.builds(
    lambda steps, rates: vg.Piecewise(tuple(zip(sorted({0, *steps}), rates, strict=False))),
    st.lists(counts, max_size=3),
    st.lists(positive, min_size=4, max_size=4),
)
experiments = st.fixed_dictionaries(
    {
        "workers": st.just(LARGE),
        "byzantine": st.integers(0, 5),
        "rule": rules | mixtures,
        "attack": st.none() | attacks,
        "split": splits,
        "learning_rate": positive | decays | pieces,
        "momentum": st.floats(0, 0.99),
        "momentum_at": st.sampled_from(["worker", "server", "update"]),
        "nesterov": st.booleans(),
        "seed": st.integers(0, 2**62),
        "data_dir": st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
        "loss": st.none() | st.sampled_from(["nll", "mse"]),
    }
)


def accepted(**given: Any) -> vg.Experiment:
    try:
        return vg.Experiment(**given)
    except (ParameterError, ToleranceError):
        assume(False)
        raise


@given(experiments)
@settings(max_examples=300)
def test_what_is_written_reads_as_the_same(given: dict[str, Any]) -> None:
    spec = accepted(**given)
    again = from_strings(tomllib.loads(to_toml(spec)))
    assert again == spec
    assert to_toml(again) == to_toml(spec)
    assert identity(again) == identity(spec)


@pytest.mark.parametrize("kind", [*vg.RULES, *vg.MIXERS, *HALVES], ids=lambda kind: kind.__name__)
def test_every_stage_has_a_spelling(kind: type) -> None:
    @given(made(kind))
    @settings(max_examples=20)
    def check(stage: Any) -> None:
        assert parse_rule(spell_rule(stage), f=99) == stage

    check()


@pytest.mark.parametrize("kind", vg.ATTACKS, ids=lambda kind: kind.__name__)
def test_every_attack_has_a_spelling(kind: type) -> None:
    @given(made(kind))
    @settings(max_examples=20)
    def check(attack: Any) -> None:
        assert parse_attack(spell_attack(attack)) == attack

    check()


@given(made(Privacy))
def test_privacy_has_a_spelling(privacy: Privacy) -> None:
    spec = vg.Experiment(privacy=privacy)
    assert from_strings(tomllib.loads(to_toml(spec))) == spec
    assert spell_privacy(privacy) is not None


def test_every_split_was_tried() -> None:
    tried = {vg.IID(), vg.Pooled(), vg.Dirichlet(1), vg.SortedShards(), vg.GammaSimilarity(0.5)}
    tried |= {vg.SortedBlocks(2)}
    assert {type(split) for split in tried} | {vg.ExplicitSizes} == set(SPLITS)
    assert len({spell_split(split) for split in tried}) == len(tried)


def test_every_field_is_written_when_it_differs(tmp_path: Path) -> None:
    """A field that were forgotten would make two different runs one."""
    usual = vg.Experiment(workers=LARGE)
    others: dict[str, Any] = {
        "data": "mnist", "data_dir": "elsewhere", "split": vg.Pooled(), "model": "logistic", "loss": "mse",
        "workers": LARGE + 1, "byzantine": 2, "rule": vg.Median(f=1), "attack": vg.SignFlip(),
        "batch_size": 3, "steps": 3, "learning_rate": 3.0, "momentum": 0.3, "momentum_at": "server",
        "nesterov": True, "dampening": 0.3, "clip": 3.0, "l1": 3.0, "l2": 3.0, "l2_norm": 3.0,
        "weight_decay": 3.0, "local_steps": 3, "evaluation_mode": True, "evaluate_every": 3, "seed": 3,
        "dtype": "float64", "device": "meta", "privacy": Privacy(epsilon=0.2, norm=1.0), "flip": True,
    }  # fmt: skip
    assert set(others) == {field.name for field in fields(vg.Experiment)}
    unspelled = {"data_dir", "device"}
    for name, value in others.items():
        if (
            name == "device"
        ):  # no number can be stored on the one device that every machine has beside the CPU
            continue
        spec = replace(usual, **{name: value})
        (tmp_path / "it.toml").write_text(to_toml(spec), encoding="utf-8")
        assert from_toml(tmp_path / "it.toml") == spec != usual, name
        assert (identity(spec) == identity(usual)) == (name in unspelled), name


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"clip": 2}, {"clip": 2.0}),
    ({"learning_rate": 1}, {"learning_rate": np.float64(1.0)}),
    ({"dampening": 0.0}, {"dampening": -0.0}),
    ({"data": "digits"}, {"data": "Digits"}),
    ({"model": "mlp"}, {"model": "MLP"}),
    ({"rule": vg.Krum(f=2)}, {"rule": vg.chain(vg.Krum(f=2))}),
    ({"rule": vg.CenteredClipping(f=1, radius=1)}, {"rule": vg.CenteredClipping(f=1, radius=1.0)}),
    ({"attack": vg.Optimal()}, {"attack": vg.Optimal(vg.ALittleIsEnough(z=None))}),
    ({"split": vg.Dirichlet(1)}, {"split": vg.Dirichlet(1.0)}),
    ({"learning_rate": vg.InverseDecay(1, 2)}, {"learning_rate": vg.InverseDecay(1.0, 2.0, 1)}),
    ({"data_dir": None}, {"data_dir": Path("data")}),
]


@pytest.mark.parametrize(("one", "two"), SAME, ids=str)
def test_what_is_the_same_run_has_one_identity(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert identity(vg.Experiment(**one)) == identity(vg.Experiment(**two))


def test_the_identity_of_a_run_is_kept() -> None:
    """Recorded: a change here makes every store forget what it holds, and must raise FORMAT knowingly."""
    rule = vg.chain(vg.NearestNeighborMixing(f=4), vg.TrimmedMean(f=4))
    spec = vg.Experiment(byzantine=4, rule=rule, attack=vg.ALittleIsEnough(z=1.5))
    assert identity(spec) == RECORDED


RECORDED = "aa9004cb2465bba085adc67f74821310"


class Own(vg.Median):
    """A rule that no catalogue knows."""


@dataclass(frozen=True)
class OwnAttack(vg.Attack):
    def vectors(self, scene: Scene) -> tuple[torch.Tensor, Any]:
        return scene.honest[: scene.b], None


class OwnSchedule(Schedule):
    def rate(self, step: int) -> float:
        return 0.1


class OwnSplit(vg.IID):
    pass


def tiny() -> vg.Dataset:
    inputs, labels = torch.zeros(4, 3), torch.tensor([0, 1, 0, 1])
    return vg.Dataset("tiny", inputs, labels, inputs, labels, classes=2)


UNSPEAKABLE: dict[str, Callable[[], dict[str, Any]]] = {
    "data": lambda: {"data": tiny()},
    "model": lambda: {"model": nn.Linear(3, 2)},
    "factory": lambda: {"model": lambda shape, classes: nn.Linear(3, 2)},
    "rule": lambda: {"rule": Own(f=1)},
    "rule in a chain": lambda: {"rule": vg.chain(vg.Bucketing(f=1), Own(f=1))},
    "attack": lambda: {"attack": OwnAttack()},
    "split": lambda: {"split": OwnSplit()},
    "schedule": lambda: {"learning_rate": OwnSchedule()},
}


@pytest.mark.parametrize("make", UNSPEAKABLE.values(), ids=UNSPEAKABLE)
def test_what_has_no_spelling_is_refused(make: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(ParameterError, match=r"of your own.*vg\.run"):
        identity(vg.Experiment(**make()))
