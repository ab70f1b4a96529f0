"""Where PyTorch makes what it is not told of changes nothing: results lie where the vectors do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from everything import INPUTS, STAGES, F, aggregated, gradients

import varangian as vg
from varangian.attacks import ATTACKS
from varangian.core.moments import Moments
from varangian.core.stages import Stage
from varangian.kernels.inner import _places, inner
from varangian.kernels.rows import within
from varangian.kernels.scattered import Scattered
from varangian.kernels.tallies import tally

ELSEWHERE = "meta"
"""A device on which nothing can be computed: what is made there by mistake spoils a result, or is refused."""


def same(work: Callable[[], Any]) -> None:
    with torch.device(ELSEWHERE):
        got = work()
    want = work()
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


@pytest.fixture(params=[True, False], ids=["compiled", "eager"], autouse=True)
def with_and_without_a_compiler(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("compiled" if request.param else "no_compiler")


@pytest.mark.parametrize("name", ["hostile", "batch"])
@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_of_stages(stage: Stage, name: str) -> None:
    x = INPUTS[name]()
    same(lambda: aggregated(stage, x))


@pytest.mark.parametrize(
    "stage",
    [
        vg.Average(missing=True),
        vg.Median(f=F, missing=True),
        vg.TrimmedMean(f=F, missing=True),
        vg.chain(vg.AdaptiveClipping(f=F), vg.GeometricMedian(f=F)),
        vg.CenteredClipping(f=F, radius=15.0),
    ],
    ids=str,
)
def test_of_weights_memory_and_what_is_missing(stage: Stage) -> None:
    x = INPUTS["hostile"]() if "missing" in str(stage) else gradients()
    told: dict[str, Any] = {}
    if "missing" not in str(stage):
        told = {"weights": [1.0 + i % 3 for i in range(len(x))], "cap": 0.2}

    def twice() -> Any:
        found = stage.aggregate(x, **told)
        return found.value, stage.aggregate(x, state=found.state, **told).value

    same(twice)


@pytest.mark.parametrize("rule", [vg.Median(f=F), vg.Krum(f=F), vg.DnC(f=F, coordinates=5)], ids=str)
@pytest.mark.parametrize("kind", ATTACKS, ids=lambda kind: kind.__name__)
def test_of_attacks(kind: type[vg.Attack], rule: Stage) -> None:
    attack, x = kind(), gradients()[F:]
    if isinstance(attack, vg.DataAttack):
        labels = torch.arange(len(x))
        same(lambda: attack.poison(x, labels, 10, vg.Stream(1)))
    else:
        same(lambda: attack(x, b=F, rule=rule, stream=vg.Stream(1)))


def test_of_kernels() -> None:
    x = gradients()
    signs = torch.arange(len(x), dtype=torch.int16)
    columns = torch.tensor([1, 4, 5, 9])
    same(lambda: (Moments.of(x).mean, Moments.of(x, summed=True).variance))
    same(lambda: tally(x[:, 0].clone(), x[:, 1].clone(), signs))
    same(lambda: within(columns, 4, 9))

    def products() -> Any:
        _places.cache_clear()
        some, out = Scattered.of(x[None]), torch.empty_like(x[None, :2])
        squares = some.outer_sums(x[None, :, :2].contiguous(), out)
        return inner(list(x[:3])), some.gathered(), some[0].linear(x[:2], None), out, squares

    same(products)
