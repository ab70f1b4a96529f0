"""Every stage gives on a graphics processor what it gives elsewhere; without one, Triton plays its part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from everything import INPUTS, STAGES, aggregated

import varangian as vg
from varangian.core.stages import Stage
from varangian.kernels.cuda import written
from varangian.kernels.cuda.written import INTERPRETER

CARD = torch.cuda.is_available()
DEVICE = "cuda" if CARD else "cpu"
HERE = list(INPUTS) if CARD else ["hostile"]
"""The inputs that are worth the time: played, a kernel takes a second."""


def there(x: Any) -> Any:
    return [part.to(DEVICE) for part in x] if isinstance(x, list) else x.to(DEVICE)


@pytest.mark.triton
@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_the_same_on_a_card(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER, "0")
    want = {name: aggregated(stage, INPUTS[name]()) for name in HERE}
    monkeypatch.setenv(INTERPRETER, "0" if CARD else "1")
    for name in HERE:
        value, nonfinite = aggregated(stage, there(INPUTS[name]()))
        whole = want[name][0]
        tolerance = {"rtol": 2e-3, "atol": 1e-3} if name == "halves" else {"rtol": 1e-5, "atol": 1e-5}
        for got, one in zip(*(v if isinstance(v, list) else [v] for v in (value, whole)), strict=True):
            assert got.device.type == DEVICE
            torch.testing.assert_close(got.cpu(), one, equal_nan=True, **tolerance)
        assert torch.equal(nonfinite.cpu(), want[name][1])


@pytest.mark.triton
@pytest.mark.parametrize(
    "stage",
    [
        vg.TrimmedMean(f=2),
        vg.Average(missing=True),
        vg.CenteredClipping(f=2, radius=15.0),
        vg.chain(vg.Clipping(radius=15.0), vg.Average()),
        vg.Clipping(radius=15.0),
    ],
    ids=str,
)
def test_weights_and_memory_are_the_same_on_a_card(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    x = INPUTS["gradients"]()
    weights = [1.0 + i % 3 for i in range(len(x))]
    told: dict[str, Any] = {"weights": weights} if all(part.weighted for part in stage.stages()) else {}
    monkeypatch.setenv(INTERPRETER, "0")
    want = stage.aggregate(x, **told)
    monkeypatch.setenv(INTERPRETER, "0" if CARD else "1")
    got = stage.aggregate(there(x), **told)
    torch.testing.assert_close(got.value.cpu(), want.value)
    if want.weights is not None:
        assert got.weights is not None
        assert got.weights.device.type == DEVICE
        torch.testing.assert_close(got.weights.cpu(), want.weights, rtol=1e-6, atol=1e-9)
    if want.state is not None:
        again = stage.aggregate(there(x), state=got.state, **told)
        torch.testing.assert_close(again.value.cpu(), stage.aggregate(x, state=want.state, **told).value)


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_who_weighs_nothing_is_not_read_on_a_card(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(5, 300, generator=torch.Generator().manual_seed(1)).to(dtype)
    x[4, 7], x[4, 8], x[0, 9] = torch.nan, torch.inf, torch.inf
    monkeypatch.setenv(INTERPRETER, "0" if CARD else "1")
    got = vg.Average()(there(x), weights=[1, 1, 1, 1, 0])
    torch.testing.assert_close(got.cpu(), x[:4].double().mean(0).to(dtype))
    assert (~got.isfinite()).nonzero().tolist() == [[9]]
    # Four rows are loaded at a time, and what fills up the last of them is as infinite as a row.
    unweighed = vg.Average()(there(x))
    assert unweighed[8] == torch.inf


@pytest.mark.triton
@pytest.mark.parametrize(
    "stage",
    [
        vg.Median(f=2),
        vg.Krum(f=2),
        vg.Average(),
        vg.NearestNeighborMixing(f=2),
        vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
        vg.GeometricMedian(f=2),
    ],
    ids=str,
)
def test_of_nothing_comes_nothing_on_a_card(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER, "0" if CARD else "1")
    many = (11,) if stage.stages()[-1].mixes else ()
    assert stage(there(torch.zeros(11, 0))).shape == (*many, 0)
    assert stage(there(torch.zeros(0, 11, 10))).shape == (0, *many, 10)
    assert stage(there(torch.zeros(0, 11, 0))).shape == (0, *many, 0)
    if not many:
        x = there(torch.randn(11, 10, generator=torch.Generator().manual_seed(1)))
        got = stage([{"some": row, "none": row[:0]} for row in x])
        assert torch.equal(got["some"], stage(x))
        assert got["none"].shape == (0,)


@pytest.mark.triton
@pytest.mark.parametrize(
    "rule",
    [vg.Krum(f=2), vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)), vg.Median(f=2)],
    ids=str,
)
@pytest.mark.parametrize("attack", [vg.Optimal(candidates=3, rounds=1), vg.HiddenVulnerability()], ids=str)
def test_searches_do_as_much_harm_on_a_card(
    attack: vg.Attack, rule: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = INPUTS["gradients"]()[2:]
    harm = list[torch.Tensor]()
    for switch, x in ("0", honest), ("0" if CARD else "1", there(honest)):
        monkeypatch.setenv(INTERPRETER, switch)
        forged = attack(x, b=2, rule=rule)
        assert forged.device == x.device
        harm.append((rule(torch.cat([x, forged])) - x.mean(0)).norm().cpu())
    assert float(harm[0]) > 0
    torch.testing.assert_close(*harm, rtol=1e-3, atol=0.0)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("rule", "kernels"),
    [
        (vg.Median(f=2), 2),
        (vg.Average(), 1),
        (vg.Krum(f=2), 3),
        (vg.chain(vg.Clipping(radius=20.0), vg.Average()), 3),
        (vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)), 5),
    ],
    ids=str,
)
def test_what_is_launched(rule: Stage, kernels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER, "0" if CARD else "1")
    launched, module_of = list[str](), written.module_of
    monkeypatch.setattr(written, "module_of", lambda text: launched.append(text) or module_of(text))
    rule.aggregate(there(INPUTS["batch"]()))
    assert len(launched) == kernels
