"""Running one experiment, several, and three side by side."""

from __future__ import annotations

import pytest
import torch

import varangian as vg
from varangian.experiments import Versus


def spec(**fields: object) -> vg.Experiment:
    given = {
        "model": "logistic",
        "workers": 7,
        "byzantine": 2,
        "batch_size": 8,
        "steps": 4,
        "evaluate_every": 2,
    }
    return vg.Experiment(**{**given, **fields})  # type: ignore[arg-type]


def test_a_list_gives_a_list_in_order() -> None:
    specs = [spec(), spec(seed=2), spec(rule=vg.Median(f=2), attack=vg.SignFlip())]
    results = vg.run(specs)
    assert [result.experiment for result in results] == specs
    for one, result in zip(specs, results, strict=True):
        assert torch.equal(vg.run(one).parameters, result.parameters)
    assert vg.run([]) == []
    assert [result.experiment for result in vg.run(tuple(specs[:1]))] == specs[:1]


def test_a_watcher_sees_all_of_them() -> None:
    steps: list[int] = []
    vg.run([spec(), spec(steps=2)], lambda progress: steps.append(progress.step))
    assert steps == [1, 2, 3, 4, 1, 2]


def test_versus_is_three_runs_of_one_experiment() -> None:
    given = spec(rule=vg.TrimmedMean(f=2), attack=vg.SignFlip(), seed=5)
    three = vg.versus(given)
    assert isinstance(three, Versus)
    labels, specs = zip(*three, strict=True)
    assert specs == (three.calm, three.averaged, three.robust)
    assert three.robust == given
    assert (three.calm.rule, three.calm.attack) == (vg.Average(), None)
    assert (three.averaged.rule, three.averaged.attack) == (vg.Average(), vg.SignFlip())
    assert {(s.workers, s.byzantine, s.steps, s.seed) for s in specs} == {(7, 2, 4, 5)}
    assert "nobody lies" in labels[0]
    assert "2 of 7 lie" in labels[1]
    assert "TrimmedMean" in labels[2]
    assert len(set(labels)) == 3


def test_what_a_run_raises_passes() -> None:
    with pytest.raises(vg.VarangianError, match="no finite default z"):
        vg.run(spec(workers=4, byzantine=3, attack=vg.ALittleIsEnough()))
