"""The audit of a training job, in small."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator

import varangian as vg
from varangian.audit import audit, replay, schema, training
from varangian.audit.recorder import record
from varangian.engines.loop import train
from varangian.errors import ParameterError

SPEC = vg.Experiment(
    model="logistic", workers=7, byzantine=2, rule=vg.TrimmedMean(f=2), attack=vg.SignFlip(), steps=12, seed=3
)


def test_the_recorder_writes_down_what_the_honest_send() -> None:
    rounds = record(SPEC, 4)
    assert [one.name for one in rounds] == ["3", "6", "9", "12"]
    assert rounds[0].clients == tuple(f"worker {i}" for i in range(5))
    kept: list[torch.Tensor] = []

    class Watching(vg.SignFlip):
        def vectors(self, scene):  # type: ignore[no-untyped-def]
            kept.append(scene.honest.clone())
            return super().vectors(scene)

    train(replace(SPEC, attack=Watching()))
    for one in rounds:
        torch.testing.assert_close(one.whole(), kept[int(one.name) - 1], rtol=1e-4, atol=1e-6)
    with pytest.raises(ParameterError, match="liars forge vectors"):
        record(replace(SPEC, byzantine=0), 2)
    with pytest.raises(ParameterError, match="liars forge vectors"):
        record(replace(SPEC, attack=vg.LabelFlip()), 2)


def test_an_experiment_is_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ATTACKS", (vg.SignFlip(), vg.LabelFlip(), vg.Optimal()))
    monkeypatch.setattr(training, "OTHERS", training.OTHERS[:1])
    monkeypatch.setattr(training, "COUNTS", 2)
    told: list[float] = []
    report = audit(
        SPEC,
        fail_if=["worst_accuracy < 5%", "worst_accuracy < 100%"],
        watch=lambda what, share: told.append(share),
    )
    Draft202012Validator(schema()).validate(json.loads(report.to_json()))
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
    assert [check.holds for check in report.checks] == [False, True]
    heat = report.series["heatmap"]
    assert heat.columns_names == ("sign-flip", "label-flip", "optimal")
    assert report.numbers["worst_accuracy"] == heat.worst[0] == min(heat.values[0])
    assert heat.worst[1] < heat.worst[0], "Averaging falls to what trimming withstands."
    liars = dict(
        zip(
            report.series["breakdown_real"].lines[0].x,
            report.series["breakdown_real"].lines[0].y,
            strict=True,
        )
    )
    assert liars[2.0] == report.numbers["worst_accuracy"]
    assert liars[0.0] == report.numbers["calm_accuracy"]
    assert 0 < report.numbers["coefficient"] < vg.TrimmedMean(f=2).kappa(7)
    assert report.numbers["condition_share"] is not None
    assert report.provenance["data_sha256"]
    assert 'rule = "trimmed-mean:f=2"' in report.subject.specification
    assert len(report.plane.honest) == 5
    report.write(tmp_path / "out")
    for file in ("worst-attack.npz", "worst-run.toml"):
        again = replay(tmp_path / "out" / file)
        assert again.same, file
    assert replay(tmp_path / "out" / "worst-run.toml").number == report.numbers["worst_accuracy"]


def test_more_liars_than_declared_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ATTACKS", (vg.SignFlip(),))
    monkeypatch.setattr(training, "OTHERS", ())
    monkeypatch.setattr(training, "COUNTS", 0)
    monkeypatch.setattr(training, "WORST", 1)
    report = audit(replace(SPEC, rule=vg.TrimmedMean(f=1), steps=6))
    assert report.status == "fail"
    assert report.finding("declared").status == "fail"
    assert math.isinf(report.numbers["coefficient"])


def test_a_mixture_of_rules_is_refused() -> None:
    mixture = vg.RuleMixture((vg.Median(f=2), vg.TrimmedMean(f=2)))
    with pytest.raises(ParameterError, match="each of its rules by itself"):
        audit(replace(SPEC, rule=mixture))


def test_private_workers_are_told_what_they_spend() -> None:
    from varangian.audit.costs import privacy

    spec = replace(SPEC, privacy=vg.Privacy(epsilon=0.2, norm=0.01))
    finding = privacy(spec, vg.TrimmedMean(f=2), 650)
    assert finding.status == "warn"
    assert "proves nothing here" in finding.meaning
    assert finding.value is not None
    assert finding.value > 0
