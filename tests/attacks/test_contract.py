"""What every attack promises: kinds, batches, no liars, one honest vector, streams, and what it declares."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.attacks import ATTACKS, Sight
from varangian.errors import InputError, ParameterError

FORGERS: list[vg.Attack] = [
    vg.NonFinite(),
    vg.NonFinite(kind="mix"),
    vg.Gaussian(std=2.0),
    vg.Zero(),
    vg.Random(scale=2.0),
    vg.SignFlip(),
    vg.Scale(c=3.0),
    vg.InnerProductManipulation(epsilon=0.5),
    vg.ALittleIsEnough(z=1.5),
    vg.ALittleIsEnough(),
    vg.MinMax(),
    vg.MinMax(along="unit"),
    vg.MinSum(along="sign"),
    vg.Mimic(),
    vg.Optimal(),
    vg.Optimal(attack=vg.MinMax(), rounds=2),
    vg.HiddenVulnerability(),
    vg.HiddenVulnerability(coordinate=None),
]
WHITE_BOX = [attack for attack in FORGERS if attack.sees is Sight.RULE]
RULES: list[vg.Stage] = [
    vg.TrimmedMean(f=2),
    vg.Krum(f=2),
    vg.GeometricMedian(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.Median(f=2)),
    vg.chain(vg.AdaptiveClipping(f=2), vg.MultiKrum(f=2)),
]
each = pytest.mark.parametrize("attack", FORGERS, ids=repr)


def honest(*batch: int, h: int = 8, d: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, h, d, generator=generator, dtype=torch.float64) + 0.5


@each
def test_batches_are_loops(attack: vg.Attack) -> None:
    for rule in RULES[1:4] if attack.sees is Sight.RULE else RULES[:1]:
        x = honest(2)
        whole = attack(x, b=2, rule=rule, stream=vg.Stream(1))
        for i in range(2):
            alone = attack(x[i], b=2, rule=rule, stream=vg.Stream(1))
            torch.testing.assert_close(whole[i], alone, rtol=1e-9, atol=1e-12, equal_nan=True)


@each
def test_two_batch_axes(attack: vg.Attack) -> None:
    x = honest(2, 3)
    whole = attack(x, b=2, rule=RULES[0], stream=vg.Stream(1))
    flat = attack(x.flatten(0, 1), b=2, rule=RULES[0], stream=vg.Stream(1))
    torch.testing.assert_close(whole.flatten(0, 1), flat, rtol=1e-9, atol=1e-12, equal_nan=True)


@each
def test_no_liars_send_nothing_and_see_no_rule(attack: vg.Attack) -> None:
    for x in (honest(), honest(3)):
        forgery = attack.forge(x, 0, state="kept")
        assert forgery.value.shape == (*x.shape[:-2], 0, 6)
        assert forgery.state == "kept"
    assert attack(list(honest()), b=0) == []


@each
def test_one_honest_vector_is_enough(attack: vg.Attack) -> None:
    if attack == vg.ALittleIsEnough():
        with pytest.raises(ParameterError, match="no finite default z"):
            attack(honest(h=1), b=1)
        return
    got = attack(honest(h=1), b=1, rule=vg.Average())
    assert got.shape == (1, 6)
    assert isinstance(attack, vg.NonFinite) or bool(got.isfinite().all())


@each
def test_kinds_give_the_same_numbers(attack: vg.Attack) -> None:
    x = honest()
    rule, stream = RULES[3], vg.Stream(4)
    want = attack(x, b=2, rule=rule, stream=stream)

    array = attack(x.numpy(), b=2, rule=rule, stream=stream)
    assert isinstance(array, np.ndarray)
    np.testing.assert_allclose(array, want, rtol=1e-12)

    rows = attack(list(x), b=2, rule=rule, stream=stream)
    assert isinstance(rows, list)
    torch.testing.assert_close(torch.stack(rows), want, equal_nan=True)

    states = [OrderedDict(w=row[:4].reshape(2, 2), b=row[4:]) for row in x]
    dicts = attack(states, b=2, rule=rule, stream=stream)
    assert [list(state) for state in dicts] == [["w", "b"], ["w", "b"]]
    assert dicts[0]["w"].shape == (2, 2)
    flat = torch.stack([torch.cat([state["w"].reshape(-1), state["b"]]) for state in dicts])
    torch.testing.assert_close(flat, want, equal_nan=True)


def test_a_carried_state_may_be_a_state_dict() -> None:
    x = honest()
    rule = vg.CenteredClipping(f=2, radius=5.0)
    pack = lambda row: {"w": row[:4].reshape(2, 2), "b": row[4:]}  # noqa: E731
    attack = vg.HiddenVulnerability()  # goes as far as pays: not at all where it would help a bad start
    behind = x[0] - 100 * torch.eye(6, dtype=x.dtype)[0]
    want = attack(x, b=2, rule=rule, options={"state": x[0]})
    got = attack([pack(row) for row in x], b=2, rule=rule, options={"state": pack(x[0])})
    torch.testing.assert_close(torch.cat([got[0]["w"].reshape(-1), got[0]["b"]]), want[0])
    assert not torch.allclose(want, attack(x, b=2, rule=rule, options={"state": behind}))


@each
def test_streams_decide(attack: vg.Attack) -> None:
    x = honest()
    first = attack(x, b=2, rule=RULES[0], stream=vg.Stream(1))
    again = attack(x, b=2, rule=RULES[0], stream=vg.Stream(1))
    other = attack(x, b=2, rule=RULES[0], stream=vg.Stream(2))
    assert torch.equal(first.nan_to_num(), again.nan_to_num())
    assert torch.equal(first.nan_to_num(), other.nan_to_num()) is not attack.randomised


@each
def test_honest_nan_is_no_crash(attack: vg.Attack) -> None:
    """A run that left the finite numbers must be reported as diverged, by whatever attack it met."""
    for value in (torch.nan, torch.inf):
        x = honest()
        x[0] = value
        for rule in (vg.Average(), vg.TrimmedMean(f=2), vg.Krum(f=2), vg.GeometricMedian(f=2)):
            assert attack(x, b=2, rule=rule).shape == (2, 6)


# What attacks declare

SEES = {
    vg.NonFinite: Sight.NOTHING,
    vg.Gaussian: Sight.NOTHING,
    vg.Zero: Sight.NOTHING,
    vg.Random: Sight.HONEST,
    vg.SignFlip: Sight.HONEST,
    vg.Scale: Sight.HONEST,
    vg.InnerProductManipulation: Sight.HONEST,
    vg.ALittleIsEnough: Sight.HONEST,
    vg.Mimic: Sight.HONEST,
    vg.MinMax: Sight.HONEST,
    vg.MinSum: Sight.HONEST,
    vg.Optimal: Sight.RULE,
    vg.HiddenVulnerability: Sight.RULE,
    vg.LabelFlip: Sight.OWN,
    vg.RandomLabel: Sight.OWN,
    vg.MalformedInput: Sight.OWN,
}
PUBLISHED = {
    vg.InnerProductManipulation: "Xie et al., UAI 2019",
    vg.ALittleIsEnough: "Baruch et al., NeurIPS 2019",
    vg.MinMax: "Shejwalkar and Houmansadr, NDSS 2021",
    vg.MinSum: "Shejwalkar and Houmansadr, NDSS 2021",
    vg.Optimal: "Shejwalkar and Houmansadr, NDSS 2021",
    vg.HiddenVulnerability: "Mhamdi et al., ICML 2018",
    vg.Mimic: "Karimireddy et al., ICLR 2022",
}


def test_the_table_above_is_the_catalogue() -> None:
    assert set(SEES) == set(ATTACKS)
    assert len(ATTACKS) == len(set(ATTACKS))


@pytest.mark.parametrize("kind", ATTACKS)
def test_declarations(kind: type[vg.Attack]) -> None:
    assert kind.sees is SEES[kind]
    if kind in PUBLISHED:
        assert kind.reference is not None
        assert kind.reference.short.endswith(PUBLISHED[kind])


def test_short_names_are_unique_and_not_class_names() -> None:
    short = [name for kind in ATTACKS for name in kind.short_names]
    assert len(short) == len(set(short))
    assert {"alie", "little", "ipm", "empire", "signflip", "labelflip", "nan"} <= set(short)


@pytest.mark.parametrize("attack", FORGERS, ids=repr)
def test_blind_attacks_do_not_look(attack: vg.Attack) -> None:
    one, two = (attack(x, b=2, rule=RULES[0], stream=vg.Stream(1)) for x in (honest(seed=1), honest(seed=2)))
    assert torch.equal(one.nan_to_num(), two.nan_to_num()) is (attack.sees is Sight.NOTHING)


@pytest.mark.parametrize("attack", WHITE_BOX, ids=repr)
def test_a_white_box_needs_the_rule(attack: vg.Attack) -> None:
    with pytest.raises(ParameterError, match="pass rule="):
        attack(honest(), b=2)


@each
@pytest.mark.parametrize("b", [-1, True])
def test_impossible_counts_of_liars(attack: vg.Attack, b: int) -> None:
    with pytest.raises(ParameterError, match="b"):
        attack(honest(), b=b, rule=RULES[0])


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(0, 3), torch.zeros(2, 3, dtype=torch.int64), [], "x"]
)
def test_vectors_that_are_none(bad: Any) -> None:
    with pytest.raises(InputError):
        vg.SignFlip()(bad, b=1)
