"""What a watcher is told, and what a run leaves behind."""

from __future__ import annotations

import math

import pytest
import torch
from engines.by_hand import small

import varangian as vg
from varangian.engines import Progress
from varangian.engines.loop import train


def test_the_watcher_is_told_after_every_step() -> None:
    told: list[Progress] = []
    result = train(small(steps=6, evaluate_every=4), told.append)
    assert [progress.step for progress in told] == [1, 2, 3, 4, 5, 6]
    assert all(progress.steps == 6 for progress in told)
    assert told[-1].remaining == 0
    assert all(progress.remaining >= 0 for progress in told)
    assert ["accuracy" in progress.row for progress in told] == [False, False, False, True, False, True]
    assert [progress.row["loss"] for progress in told] == result.metrics["loss"]
    assert sorted(progress.seconds for progress in told) == [progress.seconds for progress in told]


def test_watching_changes_nothing() -> None:
    assert torch.equal(train(small()).parameters, train(small(), lambda progress: None).parameters)


def test_the_last_step_is_always_evaluated() -> None:
    metrics = train(small(steps=5, evaluate_every=2)).metrics
    assert [not math.isnan(value) for value in metrics["accuracy"]] == [False, True, False, True, True]


def test_the_result_names_its_experiment() -> None:
    spec = small()
    result = train(spec)
    assert result.experiment is spec
    assert result.accuracy == result.metrics["accuracy"][-1]
    assert not result.diverged


def test_learning_rate_and_distance_are_those_of_the_run() -> None:
    spec = small(learning_rate=vg.InverseDecay(0.3, 2.0, 2), momentum=0.0, workers=3, byzantine=0)
    metrics = train(spec).metrics
    assert metrics["learning_rate"] == pytest.approx([0.3, 0.3, 0.15, 0.15, 0.1])
    one = train(small(steps=1, momentum=0.0, workers=3, byzantine=0)).metrics
    assert math.isclose(one["distance"][0], 0.1 * one["applied_norm"][0], rel_tol=1e-9)


def test_your_own_module_is_not_changed() -> None:
    module = torch.nn.Linear(5, 4)
    before = [value.clone() for value in module.parameters()]
    result = train(small(model=module, dtype="float32"))
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))
    assert not torch.equal(result.parameters, torch.cat([value.detach().flatten() for value in before]))
