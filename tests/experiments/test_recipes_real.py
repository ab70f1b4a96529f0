"""The recipes' first claim, on the data of the paper."""

from __future__ import annotations

from pathlib import Path

import pytest

import varangian as vg
from varangian.experiments.recipes import Scope
from varangian.experiments.recipes.momentum import MomentumRecipe
from varangian.experiments.recipes.shares import trios


@pytest.mark.real_data
def test_worker_momentum_wins_back_what_manipulation_costs_krum(real_data: Path) -> None:
    settings = [
        spec
        for spec in MomentumRecipe().settings(Scope(steps=20, data_dir=real_data))
        if spec.honest == 27
        and (not spec.byzantine or isinstance(spec.rule, vg.MultiKrum))
        and (not spec.byzantine or isinstance(spec.attack, vg.InnerProductManipulation))
    ]
    (trio,) = trios(vg.run(settings))
    assert trio.calm > 0.85
    assert trio.lost > 20
    assert trio.regained > 20
