"""Every stage gives the same, and keeps its promises, where nothing can be compiled.

`make eager` runs all tests that way; this is the part of it that the gate affords.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

import varangian as vg
from varangian.aggregators import HALVES
from varangian.core.stages import CoordinateRule, Stage
from varangian.kernels.compiled import jit
from varangian.testing import CHECKS, Subject

N, D, F = 13, 700, 2


def made(kind: type[Stage]) -> Stage:
    fields = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(f=F, **({"radius": 15.0} if "radius" in fields else {}))


STAGES = [
    *(made(kind) for kind in (*vg.RULES, *vg.MIXERS, *HALVES)),
    vg.Median(f=F, as_released=True),
    vg.chain(vg.NearestNeighborMixing(f=F), vg.TrimmedMean(f=F)),
    vg.chain(vg.AdaptiveClipping(f=F), vg.NearestNeighborMixing(f=F), vg.Phocas(f=F)),
    vg.chain(vg.Bucketing(f=F, s=1), vg.MeanAroundMedian(f=F)),
]


def gradients(*batch: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*batch, N, D, generator=torch.Generator().manual_seed(1)).to(dtype)


def hostile() -> torch.Tensor:
    x = gradients()
    x[0, ::7], x[1, 3:600], x[0, -1] = torch.nan, torch.inf, -torch.inf
    x[2] *= 1e6
    return x


INPUTS: dict[str, Callable[[], Any]] = {
    "gradients": gradients,
    "batch": lambda: gradients(3),
    "halves": lambda: gradients(dtype=torch.float16),
    "doubles": lambda: gradients(dtype=torch.float64),
    "hostile": hostile,
    "columns first": lambda: gradients().T.contiguous().T,
    "vectors": lambda: list(gradients()),
    "few columns": lambda: gradients()[:, 5:8],
}


def aggregated(stage: Stage, x: Any) -> tuple[Any, torch.Tensor]:
    pivots = {pivot.name for part in stage.stages() for pivot in part.pivots}
    pivot = (
        {"pivot": x[-1].clone() if isinstance(x, list) else x[..., -1, :].clone()}
        if "GIVEN" in pivots
        else {}
    )
    found = stage.aggregate(x, **pivot)
    return found.value, found.nonfinite


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
