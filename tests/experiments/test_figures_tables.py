"""The worst over attacks, and pairs of momentum placements: what is compared with what."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from experiments.traces import flat, trace

import varangian as vg
from varangian.errors import ParameterError
from varangian.experiments.figures import draw_gains, draw_worst
from varangian.experiments.figures.gains import pairs

SPEC = vg.Experiment(data="mnist", workers=21, byzantine=4, steps=3, rule=vg.Median(f=4))
ALIE, FLIP = vg.ALittleIsEnough(z=1.5), vg.SignFlip()


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_cell_is_the_attack_with_the_least_mean_not_the_mean_of_attacks(tmp_path: Path) -> None:
    accuracies = {(ALIE, 1): 0.9, (ALIE, 2): 0.5, (FLIP, 1): 0.6, (FLIP, 2): 0.6, (None, 1): 0.95}
    runs = [flat(replace(SPEC, attack=attack, seed=s), value) for (attack, s), value in accuracies.items()]
    _, numbers = draw_worst(runs, tmp_path / "worst.png")
    (row,) = table(numbers)
    assert (row["row"], row["column"], row["worst attack"], row["seeds"]) == (
        "median",
        "iid",
        "signflip",
        "2",
    )
    assert float(row["accuracy (%)"]) == pytest.approx(60)


def test_a_cell_averages_the_last_evaluations(tmp_path: Path) -> None:
    run = trace(replace(SPEC, attack=FLIP), [0.0, 0.2, 0.4])
    for evaluations, expected in ((1, 40), (2, 30), (9, 20)):
        _, numbers = draw_worst([run], tmp_path / "worst.png", evaluations=evaluations)
        assert float(table(numbers)[0]["accuracy (%)"]) == pytest.approx(expected)


def test_cells_that_were_not_run_are_not_in_the_numbers(tmp_path: Path) -> None:
    splits = vg.IID(), vg.Dirichlet(0.1)
    held = [(vg.Median(f=4), splits[0]), (vg.Median(f=4), splits[1]), (vg.Krum(f=4), splits[0])]
    runs = [flat(replace(SPEC, rule=rule, split=split, attack=FLIP), 0.5) for rule, split in held]
    *_, numbers = draw_worst(runs, tmp_path / "worst")
    assert [(row["row"], row["column"]) for row in table(numbers)] == [
        ("median", "iid"),
        ("median", "dirichlet:alpha=0.1"),
        ("krum", "iid"),
    ]


def test_a_cell_does_not_mix_settings(tmp_path: Path) -> None:
    runs = [flat(replace(SPEC, attack=FLIP, clip=clip), 0.5) for clip in (1.0, 2.0)]
    with pytest.raises(ParameterError, match="clip"):
        draw_worst(runs, tmp_path / "worst.png")


def both(update: float, worker: float, **fields: object) -> list[object]:
    spec = replace(SPEC, attack=ALIE, **fields)  # type: ignore[arg-type]
    return [
        trace(replace(spec, momentum_at="update"), [0.0, update, 0.1]),
        trace(replace(spec, momentum_at="worker"), [0.0, worker, 0.1]),
    ]


def test_a_gain_is_that_of_the_highest_accuracies_of_one_setting_and_seed(tmp_path: Path) -> None:
    runs = [*both(0.3, 0.8), *both(0.5, 0.4, seed=2), *both(0.2, 0.9, rule=vg.Krum(f=4))]
    assert [round(pair.gain, 6) for pair in pairs(runs)] == [0.5, -0.1, 0.7]  # type: ignore[arg-type]
    _, numbers = draw_gains(runs, tmp_path / "gains.png")  # type: ignore[arg-type]
    rows = table(numbers)
    assert [(row["rule"], row["attack"], row["seed"]) for row in rows] == [
        ("median", "alie:z=1.5", "1"),
        ("median", "alie:z=1.5", "2"),
        ("krum", "alie:z=1.5", "1"),
    ]
    assert [float(row["gain (points)"]) for row in rows] == pytest.approx([50, -10, 70])


def test_runs_without_a_partner_are_left_out(tmp_path: Path) -> None:
    alone = both(0.3, 0.8, seed=3)[0]
    assert len(pairs([*both(0.3, 0.8), alone])) == 1  # type: ignore[list-item]
    with pytest.raises(ParameterError, match="at the update and at the worker"):
        draw_gains([alone], tmp_path / "gains.png")  # type: ignore[list-item]
