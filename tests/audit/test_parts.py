"""The chapter of an audit on the parts of the model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from torch import nn

import varangian as vg
from varangian.audit import Curves, audit, parts, schema, training
from varangian.audit.parts import chapter
from varangian.audit.report import Finding
from varangian.audit.threat import NO_FAULTS, SOME_FAULTS
from varangian.core.parameters import FlatParameters
from varangian.core.randomness import Stream
from varangian.data import Dataset
from varangian.errors import ParameterError
from varangian.neurons import examine

STREAM = Stream(5)
SPEC = vg.Experiment(workers=5, byzantine=1, rule=vg.TrimmedMean(f=1), attack=vg.SignFlip(), steps=5)


def signs(n: int = 40) -> Dataset:
    """Return inputs of one coordinate, which is far from 0, and their signs."""
    inputs = torch.linspace(1.0, 2.0, n)[:, None] * (-1.0) ** torch.arange(n)[:, None]
    labels = (inputs[:, 0] > 0).long()
    return Dataset("signs", inputs, labels, inputs, labels, classes=2)


def voting(neurons: int, weight: float) -> nn.Sequential:
    """Return a network whose hidden neurons all send the same, and are weighed the same."""
    model = nn.Sequential(nn.Linear(1, neurons), nn.Tanh(), nn.Linear(neurons, 2))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[2].weight.copy_(torch.tensor([-weight, weight])[:, None].expand(2, neurons))
        model[0].bias.zero_()
        model[2].bias.zero_()
    return model


def look(model: nn.Module, **options: bool | None) -> tuple[Finding, parts.Chapter]:
    spec = replace(SPEC, data=signs(), model=model)
    found = chapter(spec, FlatParameters(model).get(), 0.1, STREAM, **options)
    return found.findings[0], found


def test_what_is_planted_is_found() -> None:
    crashes, found = look(voting(20, 0.5))
    assert (crashes.status, crashes.value, crashes.shown) == ("pass", 10.0, "10 of 20")
    # Outputs are +-10 tanh(x); a crash moves one by 1/2 at most, and 4 of the 40 inputs may go wrong.
    proven = int(10 * math.tanh(1 + 4 / 39) / 0.5)
    assert found.numbers == {"crashes_borne": 10.0, "crashes_proven": proven}
    error = found.findings[1]
    assert error.value == pytest.approx(10 * 0.5 * math.tanh(2.0), rel=1e-4)
    assert error.limit == pytest.approx(10 * 0.5)
    assert error.shown.endswith("proven at most 5")
    lines = {line.name: line for line in found.series["crashes_1"].lines}
    assert lines["proven"].x == (1.0, 2.0, 5.0, 10.0)
    for lower, upper in (("mean", "worst found"), ("worst found", "proven"), ("mean, from", "mean, to")):
        for below, above in zip(lines[lower].y, lines[upper].y, strict=True):
            assert below <= above + 1e-6, (lower, upper)


def test_up_to_so_many_crashes_none_costs_more() -> None:
    model, data = voting(20, 0.5), signs()
    report = examine(model, data.test_inputs, data.test_labels, lost=0.1)
    assert report.borne(1) == (10, 10)
    hurt = [replace(point, worst_accuracy=0.5) if point.count == 5 else point for point in report.curves]
    assert replace(report, curves=tuple(hurt)).borne(1) == (2, 10)


def test_a_neuron_that_decides_alone_is_a_reservation() -> None:
    model = voting(20, 0.001)
    with torch.no_grad():
        model[2].weight[:, 7] *= 2000
        model[2].weight[:, 8] *= -1000
        model[2].bias.copy_(torch.tensor([0.1, 0.0]))
    crashes, found = look(model)
    assert (crashes.status, crashes.value) == ("warn", 0.0)
    assert "layer 1 decides too much" in crashes.change
    assert found.numbers["crashes_proven"] == 0


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (nn.Sequential(nn.Linear(1, 2)), "no hidden neuron"),
        (nn.Sequential(nn.Linear(1, 4), nn.LayerNorm(4), nn.Linear(4, 2)), "LayerNorm"),
        (voting(3, torch.nan), "values that are not finite"),
    ],
    ids=["shallow", "unknown", "diverged"],
)
def test_a_model_without_bounds_is_not_covered_and_says_why(model: nn.Module, why: str) -> None:
    crashes, found = look(model)
    assert (crashes.status, crashes.value) == ("not covered", None)
    assert why in crashes.meaning
    assert not found.measured
    assert found.numbers == {"crashes_borne": None, "crashes_proven": None}


def test_what_takes_long_is_done_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "QUICK", 3)
    crashes, _ = look(voting(4, 1.0))
    assert crashes.status == "not covered"
    assert "4 hidden neurons" in crashes.meaning
    assert "--parts" in crashes.change
    assert look(voting(4, 1.0), asked=True)[1].measured
    monkeypatch.undo()
    assert not look(voting(4, 1.0), asked=False)[1].measured
    with pytest.raises(ParameterError, match="only an experiment trains a model"):
        audit(vg.Krum(f=1), n=5, parts=True)


class Own(nn.Module):
    """A network that is no chain of modules to look at, but computes as one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))  # type: ignore[no-any-return]


def test_any_module_is_traced() -> None:
    assert look(Own())[1].measured


def test_any_dtype_is_taken() -> None:
    model = voting(4, 0.5)
    spec = replace(SPEC, data=signs(), model=model, dtype="float64")
    assert chapter(spec, FlatParameters(model).get().double(), 0.1, STREAM).measured


def test_a_report_has_the_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "ATTACKS", (vg.SignFlip(),))
    monkeypatch.setattr(training, "OTHERS", ())
    monkeypatch.setattr(training, "COUNTS", 0)
    monkeypatch.setattr(training, "WORST", 1)
    spec = replace(SPEC, data=signs(400), model=voting(20, 0.5))
    report = audit(spec, fail_if=["crashes_borne < 1", "crashes_proven < 100"])
    assert [check.holds for check in report.checks] == [False, True]
    told = json.loads(report.to_json())
    Draft202012Validator(schema()).validate(told)
    accuracies = report.series["crashes_accuracy"]
    assert isinstance(accuracies, Curves)
    assert accuracies.marks[0].at == pytest.approx(report.numbers["calm_accuracy"] - 0.1)
    assert SOME_FAULTS in report.threat_model.not_covered
    assert NO_FAULTS not in report.threat_model.not_covered
    report.write(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Error against crashed neurons of layer 1" in page
    assert "Crashed neurons borne" in page
    assert NO_FAULTS in audit(vg.Krum(f=1), n=5).threat_model.not_covered
