"""An impossible field is an error that names the field, at the moment the experiment is made."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import varangian as vg
from varangian.errors import ParameterError, ToleranceError, VarangianError

IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"workers": 0}, "workers must be at least 1"),
    ({"byzantine": -1}, "byzantine must be at least 0"),
    ({"byzantine": 20}, "at least one worker must be honest"),
    ({"workers": 3, "byzantine": 4}, r"byzantine=4, workers=3.*at least one worker must be honest"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"steps": 0}, "steps must be at least 1"),
    ({"local_steps": 0}, "local_steps must be at least 1"),
    ({"evaluate_every": 0}, "evaluate_every must be at least 1"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ({"learning_rate": -0.1}, "learning_rate must be above 0"),
    ({"learning_rate": math.nan}, "learning_rate must be a finite number"),
    ({"learning_rate": math.inf}, "learning_rate must be a finite number"),
    ({"clip": 0.0}, "clip must be above 0"),
    ({"clip": math.inf}, "clip must be a finite number"),
    ({"l1": -0.1}, "l1"),
    ({"l2": -0.1}, "l2"),
    ({"l2": math.nan}, "l2 must be a finite number"),
    ({"weight_decay": -0.1}, "weight_decay"),
    ({"momentum": -0.1}, "momentum"),
    ({"momentum": 1.0}, "momentum must be below 1"),
    ({"momentum": 1.5}, "momentum must be below 1"),
    ({"dampening": -0.1}, "dampening"),
    ({"dampening": 1.1}, "dampening at most 1"),
    ({"momentum_at": "workers"}, "momentum_at must be one of worker, server, update"),
    ({"dtype": "float16"}, "dtype must be one of float32, float64"),
    ({"device": "tpu9"}, "device='tpu9'"),
    ({"rule": vg.NearestNeighborMixing(f=2)}, "end it with a rule"),
    ({"rule": vg.chain(vg.NearestNeighborMixing(f=2), vg.Bucketing(f=2, s=2))}, "end it with a rule"),
]


@pytest.mark.parametrize(("fields", "words"), IMPOSSIBLE, ids=lambda value: str(value)[:50])
def test_impossible_values_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        vg.Experiment(**fields)


def test_too_few_workers_for_the_rule_say_the_fix() -> None:
    with pytest.raises(
        ToleranceError,
        match=r"n = 8 vectors.*n >= 2f \+ 3 = 9(.|\n)*Add at least 1 worker, or declare f <= 2",
    ):
        vg.Experiment(workers=8, rule=vg.Krum(f=3))
    with pytest.raises(ToleranceError, match=r"stage 2 of chain(.|\n)*n = 5 vectors"):
        vg.Experiment(workers=10, rule=vg.chain(vg.Bucketing(f=3, s=2), vg.Median(f=3)))
    assert vg.Experiment(workers=9, rule=vg.Krum(f=3)).honest == 9


def test_unknown_names_are_errors_of_the_library_when_run() -> None:
    for fields, near in (
        ({"data": "digit"}, "digits"),
        ({"model": "mpl"}, "mlp"),
        ({"loss": "nil"}, "nll"),
    ):
        with pytest.raises(VarangianError, match=f"Did you mean '{near}'"):
            vg.run(vg.Experiment(steps=1, **fields))  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_an_error_of_the_library() -> None:
    absent = "cuda:99" if torch.cuda.is_available() else "cuda"
    with pytest.raises(VarangianError, match="cuda"):
        vg.run(vg.Experiment(steps=1, workers=2, model="logistic", device=absent))


def test_defaults_are_sound() -> None:
    spec = vg.Experiment()
    assert (spec.workers, spec.byzantine, spec.honest) == (20, 0, 20)
    assert spec.rule == vg.Average()
    assert spec.attack is None
    assert (spec.heavy_ball.mu, spec.heavy_ball.place) == (0.9, "worker")


def test_possible_extremes_are_accepted() -> None:
    spec = vg.Experiment(
        workers=1, momentum=0.0, dampening=1.0, l1=0.0, seed=0, learning_rate=1e-30, clip=1e-30
    )
    assert spec.honest == 1
    assert vg.Experiment(byzantine=19).honest == 1
    assert vg.Experiment(learning_rate=vg.Piecewise(((0, 0.1),))).learning_rate == vg.Piecewise(((0, 0.1),))


def test_an_experiment_is_a_value() -> None:
    with pytest.raises(AttributeError):
        vg.Experiment().steps = 3  # type: ignore[misc]
    assert vg.Experiment(steps=3) == vg.Experiment(steps=3)
    assert vg.Experiment(steps=3) != vg.Experiment(steps=4)
