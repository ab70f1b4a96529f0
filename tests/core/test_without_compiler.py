"""Every stage gives the same, and keeps its promises, where nothing can be compiled.

`make eager` runs all tests that way; this is the part of it that the gate affords.
"""

from __future__ import annotations

import pytest
import torch
from everything import INPUTS, STAGES, F, aggregated

import varangian as vg
from varangian.core.stages import CoordinateRule, Stage
from varangian.kernels.compiled import jit
from varangian.testing import CHECKS, Subject


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_the_same_without_a_compiler(stage: Stage, compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = {name: aggregated(stage, x()) for name, x in INPUTS.items()}
    monkeypatch.setenv(jit.SWITCH, "0")
    jit.available.cache_clear()
    assert not jit.available()
    exactly = isinstance(stage, CoordinateRule)
    for name, x in INPUTS.items():
        value, nonfinite = aggregated(stage, x())
        want, counted = with_it[name]
        tolerance = {"rtol": 0.0, "atol": 0.0} if exactly else {"rtol": 1e-5, "atol": 1e-5}
        if name == "halves" and not exactly:
            tolerance = {"rtol": 2e-3, "atol": 1e-3}
        torch.testing.assert_close(value, want, equal_nan=True, **tolerance)
        assert torch.equal(nonfinite, counted)


@pytest.mark.parametrize(
    "rule",
    [vg.Median(f=F), vg.TrimmedMean(f=F), vg.MeanAroundMedian(f=F), vg.Phocas(f=F), vg.Krum(f=F)],
    ids=repr,
)
def test_promises_are_kept_without_a_compiler(rule: Stage, no_compiler: None) -> None:
    for _, check in CHECKS:
        check(Subject(rule))
