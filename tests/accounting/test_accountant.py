"""The meter in a loop: who is like the others is not accused, who lies in sight is, and too many end it."""

from __future__ import annotations

import csv
import io
import json
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.accounting import Account, Deviations
from varangian.accounting.accountant import SIGNS
from varangian.accounting.deviations import DECAY
from varangian.engines.loop import train
from varangian.errors import ParameterError, ShapeError, SuspicionError, ToleranceError

N, F, D = 9, 2, 200
RULE = vg.TrimmedMean(f=F)
HONEST = [
    ("logistic", vg.Dirichlet(0.3), "server"),
    pytest.param("mlp", vg.IID(), "worker", marks=pytest.mark.slow),
    pytest.param("mlp", vg.Dirichlet(0.1), "worker", marks=pytest.mark.slow),
    pytest.param("mlp", vg.SortedShards(), "worker", marks=pytest.mark.slow),
]


def vectors(step: int, n: int = N) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(step)) + 0.2


def kept(steps: int, liars: int = 0, change: Any = None, **options: Any) -> vg.Accountant:
    """Account for some steps, in which the last vectors are changed from step 30 on."""
    accountant = vg.Accountant(RULE, **options)
    for step in range(steps):
        x = vectors(step)
        if liars and step >= 30:
            x[-liars:] = change(x)
        accountant.step(x, RULE.aggregate(x))
    return accountant


def long(x: Tensor) -> Tensor:
    return 30 * x[:1]


def test_who_is_like_the_others_is_not_accused() -> None:
    accountant = kept(120)
    assert not accountant.suspects
    report = accountant.report()
    assert report["suspected"] == {}
    assert report["false_accusations_expected"] == pytest.approx(120e-6)
    assert report["largest_coefficient"] < RULE.kappa(N)
    assert report["condition_held"] == 0.0  # there is much noise on so little signal
    assert {len(column) for column in report["history"].values()} == {120}


@pytest.mark.parametrize(("model", "split", "at"), HONEST)
def test_the_model_of_a_clean_run_holds_for_what_workers_send(model: str, split: Any, at: str) -> None:
    """Tails of a deviation fall as fast as stated, though each worker has data of its own."""
    seen = []

    class Seen(vg.Accountant):
        def step(self, updates: Any, aggregate: Any, **options: Any) -> Account:
            account = super().step(updates, aggregate, **options)
            if self.steps > 30:
                seen.append((self._deviations.last - np.log(self.differ)) / self._deviations.spreads())
            return account

    spec = vg.Experiment(
        workers=10,
        byzantine=0,
        rule=vg.Median(f=2),
        model=model,
        split=split,
        steps=150,
        momentum_at=at,
    )
    accountant = Seen(spec.rule)
    vg.run(spec, accountant=accountant)
    assert not accountant.suspects
    z = np.stack(seen)
    for limit in (2.0, 3.0, 4.0, 5.0):
        assert (z > limit).mean() <= np.exp(-DECAY * (limit - 1))


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        (long, "far from the others"),
        (lambda x: 10 - x[:1], "far from the others"),
        (lambda x: torch.where(torch.arange(D) == 7, torch.nan, x[:1]), "values not finite"),
    ],
    ids=["long", "far", "nan"],
)
def test_who_lies_in_sight_is_named_and_nobody_else(change: Any, sign: str) -> None:
    accountant = kept(60, liars=1, change=change)
    assert [*accountant.suspects] == [N - 1]
    signs = {one.sign for account in accountant.history for one in account.suspicions}
    assert any(sign in one for one in signs)
    assert min(one.step for account in accountant.history for one in account.suspicions) > 30


def test_as_many_as_declared_are_borne_and_one_more_ends_it() -> None:
    assert len(kept(60, liars=F, change=long).suspects) == F
    with pytest.raises(SuspicionError, match="3 parties are suspected, and f = 2 were declared") as caught:
        kept(60, liars=F + 1, change=long)
    said = str(caught.value)
    assert "8, step 31: far from the others (" in said
    assert "By chance, 3.1e-05 accusations were to be expected in 31 steps" in said


def test_it_stays_shut_and_remembers_what_it_saw() -> None:
    accountant = kept(30)
    for step in (30, 31):
        x = vectors(step)
        if step == 30:
            x[-3:] *= 30
        with pytest.raises(SuspicionError):
            accountant.step(x, RULE(x))
    assert accountant.steps == 32
    assert accountant.report()["exceeded"]


def test_logging_goes_on_and_tells_each_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "varangian"):
        accountant = kept(60, liars=F + 1, change=long, policy="log")
    assert accountant.steps == 60
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3 + ["ERROR"]


def test_no_more_is_kept_than_said_and_old_suspicions_are_forgotten() -> None:
    accountant = kept(30, keep=25)
    x = vectors(30)
    x[0, 0] = torch.inf
    accountant.step(x, RULE(x))
    assert [*accountant.suspects] == [0]
    for step in range(31, 60):
        accountant.step(vectors(step), RULE(vectors(step)))
    assert len(accountant.history) == 25
    assert accountant.history[-1].step == 60
    assert not accountant.suspects


def test_parties_have_names_and_come_and_go() -> None:
    accountant = vg.Accountant(vg.Median(f=1))
    names = [f"site{i}" for i in range(12)]
    for step in range(60):
        there = np.random.default_rng(step).permutation(12)[:8]
        x = vectors(step, 8)
        for row, party in enumerate(there):
            if party == 5:
                x[row] *= 8 if step > 40 else 1
        accountant.step(x, vg.Median(f=1)(x), parties=[names[party] for party in there])
    assert [*accountant.suspects] == ["site5"]
    assert set(accountant.report()["influence"]) == set(names)


def test_who_sent_nothing_of_use_counts_for_this_step() -> None:
    from varangian.accounting import Geometry

    accountant = vg.Accountant(vg.Median(f=1))
    x = vectors(0, 5)
    geometry = Geometry.of(x, vg.Median(f=1)(x))
    assert accountant.account(geometry, refused={"eve": "not finite"}).proven is None
    with pytest.raises(SuspicionError, match="eve: refused, not finite; mallory: refused, a shape"):
        accountant.account(geometry, refused={"eve": "not finite", "mallory": "a shape"})
    assert not accountant.suspects


def test_the_report_is_plain_and_the_table_safe() -> None:
    accountant = vg.Accountant(vg.Average())
    x = vectors(0, 4)
    x[0] = torch.nan
    accountant.policy = "log"
    accountant.step(x, vg.Average()(x), parties=["=HYPERLINK(1)", "b", "c,d", "e"])
    json.dumps(accountant.report(), allow_nan=False)
    rows = list(csv.DictReader(io.StringIO(accountant.csv())))
    assert [row["party"] for row in rows] == ["'=HYPERLINK(1)", "b", "c,d", "e"]
    assert rows[0]["suspicion"] == "values not finite"
    assert rows[0]["coefficient"] == "inf"
    assert rows[0]["step"] == "1"


def test_the_mean_shows_who_moves_it_and_the_rule_bears_it() -> None:
    x = vectors(1)
    x[3] *= 100
    mean, robust = (vg.Accountant(rule, f=2).step(x, rule.aggregate(x)) for rule in (vg.Average(), RULE))
    assert max(mean.influence, key=lambda party: mean.influence[party]) == 3
    assert mean.influence[3] > 5 > 1 > robust.influence[3]
    assert mean.core_coefficient > 50 * robust.core_coefficient
    assert (mean.proven, mean.clipped, robust.clipped) == (None, 0.0, None)
    assert robust.coefficient <= (robust.proven or 0)


@pytest.mark.parametrize("rule", [vg.Median(f=2), vg.chain(vg.NearestNeighborMixing(f=2), vg.Krum(f=2))])
def test_the_loop_and_the_simulator_tell_the_same_and_train_as_without(rule: vg.Stage) -> None:
    spec = vg.Experiment(
        workers=9, byzantine=2, rule=rule, attack=vg.SignFlip(), steps=12, dtype="float64", model="logistic"
    )
    readable, fast = vg.Accountant(rule, policy="log"), vg.Accountant(rule, policy="log")
    assert torch.equal(train(spec).parameters, train(spec, accountant=readable).parameters)
    assert torch.equal(vg.run(spec).parameters, vg.run(spec, accountant=fast).parameters)
    assert readable.steps == fast.steps == 12
    for one, other in zip(readable.history, fast.history, strict=True):
        assert one.coefficient == pytest.approx(other.coefficient, rel=1e-6)
        assert one.variance_to_norm == pytest.approx(other.variance_to_norm, rel=1e-6)
        assert [*one.influence.values()] == pytest.approx([*other.influence.values()], rel=1e-5, abs=1e-8)
        assert one.clipped == other.clipped


def test_training_ends_where_more_lie_than_declared() -> None:
    spec = vg.Experiment(
        workers=11, byzantine=3, rule=vg.Median(f=2), attack=vg.Scale(c=-100.0), steps=60, model="logistic"
    )
    accountant = vg.Accountant(spec.rule)
    with pytest.raises(SuspicionError):
        vg.run(spec, accountant=accountant)
    assert set(accountant.suspects) == {8, 9, 10}
    with pytest.raises(ParameterError, match="one experiment"):
        vg.run([spec], accountant=accountant)  # type: ignore[call-overload]


BAD = [
    (lambda: vg.Accountant(vg.NearestNeighborMixing(f=1)), ParameterError, "ends in one"),
    (lambda: vg.Accountant(RULE, rate=0.0), ParameterError, "between 0 and 1"),
    (lambda: vg.Accountant(RULE, f=-1), ParameterError, "from 0 on"),
    (lambda: vg.Accountant(RULE, keep=0), ParameterError, "from 1 on"),
    (
        lambda: vg.Accountant(RULE, f=4).step(vectors(0, 8), vectors(0, 1)[0]),
        ToleranceError,
        "declare f <= 3",
    ),
    (lambda: vg.Accountant(RULE).step(vectors(0), vectors(0)[0], parties=["a"]), ShapeError, "1 names"),
    (
        lambda: vg.Accountant(RULE).step(vectors(0), vectors(0)[0], parties=["a"] * N),
        ShapeError,
        "of its own",
    ),
    (lambda: vg.Accountant(RULE).step(vectors(0), torch.zeros(3)), ShapeError, "coordinates"),
]


@pytest.mark.parametrize(("call", "kind", "said"), BAD, ids=[said for _, _, said in BAD])
def test_mistakes_are_refused_with_the_fix(call: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        call()


def test_no_policy_is_guessed() -> None:
    with pytest.raises(Exception, match="policy"):
        vg.Accountant(RULE, policy="ignore")  # type: ignore[arg-type]


def test_fewer_than_three_are_not_compared() -> None:
    deviations = Deviations(SIGNS, 1e-3, warm=0)
    for _ in range(5):
        assert deviations.judge(np.array([[1.0, 1.0], [9.0, 9.0]])) == []
