"""Every rule trains on the digits for a few steps under a few attacks, and every number is measured."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any

import pytest

import varangian as vg
from varangian.engines.loop import train

F, WORKERS, STEPS = 2, 11, 5
NEEDED: dict[str, Any] = {"radius": 1.0}
ATTACKS: list[vg.Attack] = [vg.Optimal(vg.MinMax(), candidates=3, rounds=0), vg.Mimic(), vg.LabelFlip()]


def made(kind: type[vg.Stage]) -> vg.Stage:
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(f=F, **{name: value for name, value in NEEDED.items() if name in names})


RULES: list[vg.Stage] = [
    *(made(kind) for kind in vg.RULES),
    *(vg.chain(made(kind), vg.Median(f=F)) for kind in vg.MIXERS if kind is not vg.Bucketing),
    vg.chain(vg.Bucketing(f=F, s=2), vg.Median(f=F)),
    vg.chain(vg.AdaptiveClipping(f=F), vg.NearestNeighborMixing(f=F), vg.TrimmedMean(f=F)),
]
COLUMNS = {
    "step",
    "learning_rate",
    "loss",
    "sampled_variance",
    "sampled_norm",
    "sampled_largest",
    "sent_variance",
    "sent_norm",
    "sent_largest",
    "aggregated_norm",
    "aggregated_largest",
    "sampled_to_sent",
    "sampled_to_aggregated",
    "sent_to_aggregated",
    "sampled_to_previous",
    "curvature",
    "points",
    "variance_to_norm",
    "nonfinite_rows",
    "applied_norm",
    "distance",
    "accuracy",
}
FORGED = {
    "forged_variance",
    "forged_norm",
    "forged_largest",
    "sampled_to_forged",
    "sent_to_forged",
    "forged_to_aggregated",
}
LATER = {"sampled_to_previous"}
"""What the first step cannot tell."""


@cache
def digits() -> vg.Dataset:
    whole = vg.load_dataset("digits")
    inputs, labels = whole.train_inputs[:440], whole.train_labels[:440]
    return dataclasses.replace(whole, train_inputs=inputs, train_labels=labels)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_trains_and_measures(rule: vg.Stage) -> None:
    for attack in ATTACKS:
        spec = vg.Experiment(
            data=digits(),
            model="logistic",
            workers=WORKERS,
            byzantine=F,
            rule=rule,
            attack=attack,
            batch_size=8,
            steps=STEPS,
            evaluate_every=3,
        )
        result = train(spec)
        due = COLUMNS | (set() if isinstance(attack, vg.DataAttack) else FORGED)
        if rule.variance_bound(WORKERS, 650) is not None:
            due = due | {"condition_holds"}
        assert set(result.metrics) == due
        for name, column in result.metrics.items():
            assert len(column) == STEPS
            measured = [column[2], column[4]] if name == "accuracy" else column[name in LATER :]
            assert all(map(math.isfinite, measured)), (name, attack)
        assert math.isnan(result.metrics["accuracy"][0])
        assert result.metrics["step"] == [1, 2, 3, 4, 5]
        assert result.metrics["distance"][-1] > 0
        assert 0 <= result.accuracy <= 1
        assert not result.diverged
        assert result.parameters.shape == (650,)
        assert result.seconds > 0


@pytest.mark.parametrize(
    "rule",
    [
        vg.FLTrust(),
        vg.MoNNA(f=2),
        vg.CenteredClipping(f=2, radius=1.0),
        vg.chain(vg.Bucketing(f=2, s=2), vg.Median(f=2)),
        vg.chain(vg.Bucketing(f=2, s=2), vg.CenteredClipping(f=2, radius=1.0)),
    ],
    ids=repr,
)
def test_rules_with_a_memory_a_pivot_or_a_shuffle_learn_under_attack(rule: vg.Stage) -> None:
    for attack in (vg.SignFlip(),):
        spec = vg.Experiment(
            data=digits(),
            model="logistic",
            workers=WORKERS,
            byzantine=F,
            rule=rule,
            attack=attack,
            steps=40,
            learning_rate=0.2,
        )
        assert train(spec).accuracy > 0.7, attack
