"""Every stage, and vectors of every kind: for tests that one way to compute gives what another does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

import varangian as vg
from varangian.aggregators import HALVES
from varangian.core.stages import Stage

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
