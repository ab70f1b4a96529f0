"""A tally of blocks is what NumPy makes of them, by machine code and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.kernels import tallies as kernel
from varangian.kernels.tallies import BROKEN, NORM, NUMBERS, PEAK, PRINT, tally


def blocks(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    norms, sums = torch.rand(count, generator=generator), torch.randn(count, generator=generator)
    return norms, sums, torch.randint(-(1 << 15), 1 << 15, (count,), generator=generator).to(torch.int16)


@pytest.fixture(params=["compiled", "eager"], autouse=True)
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "eager":
        monkeypatch.setattr(kernel, "available", lambda: False)


@pytest.mark.parametrize("count", [0, 1, 7, 3000])
def test_a_tally_holds_what_it_says(count: int) -> None:
    norms, sums, words = blocks(count)
    made = tally(norms, sums, words)
    assert made.shape == (NUMBERS,)
    assert made[BROKEN] == 0
    assert float(made[NORM]) == pytest.approx(float(norms.double().norm()), rel=1e-12)
    assert float(made[PEAK]) == (float(norms.max()) if count else 0.0)
    for place in range(16):
        signs = 1 - 2 * (words.numpy().astype(np.int64) >> place & 1)
        assert float(made[PRINT + 1 + place]) == pytest.approx(float(signs @ sums.double().numpy()), abs=1e-9)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_is_counted(bad: float) -> None:
    norms, sums, words = blocks(50)
    norms[3] = norms[49] = bad
    made = tally(norms, sums, words)
    assert made[BROKEN] == 2
    assert not made[NORM].isfinite()


def test_twins_make_the_same_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    given = blocks(999)
    prints = []
    for there in (True, False):
        monkeypatch.setattr(kernel, "available", lambda there=there: there and available())
        prints.append(float(tally(*given)[PRINT]))
    assert prints[0] == prints[1] > 0


available = kernel.available


@pytest.mark.parametrize("place", [0, 998])
def test_a_fingerprint_tells_one_bit(place: int) -> None:
    norms, sums, words = blocks(999)
    before = float(tally(norms, sums, words)[PRINT])
    norms.view(torch.int32)[place] ^= 1
    assert float(tally(norms, sums, words)[PRINT]) != before
