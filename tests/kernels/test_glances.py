"""Norms and signed sums of blocks are NumPy's, and what is scaled meanwhile is what PyTorch would scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.kernels import glances as kernel
from varangian.kernels.glances import glance, glancer

BLOCK = 256
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def drawn(d: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(d, generator=torch.Generator().manual_seed(d)).to(dtype)


def signs() -> torch.Tensor:
    return torch.randint(0, 2, (BLOCK,), generator=torch.Generator().manual_seed(1)) * 2.0 - 1


@pytest.fixture(params=["compiled", "eager"], autouse=True)
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "eager":
        monkeypatch.setattr(kernel, "available", lambda: False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [1.0, 1 / 3])
@pytest.mark.parametrize("d", [0, 1, BLOCK - 1, BLOCK, 7 * BLOCK + 5, 2000 * BLOCK])
def test_glance(d: int, factor: float, dtype: torch.dtype) -> None:
    vector, before = drawn(d, dtype), drawn(d, dtype)
    norms, sums = glance(vector, signs(), factor)
    parts = [part.astype(np.float64) for part in np.split(before.float().numpy(), range(BLOCK, d, BLOCK))]
    parts += [np.zeros(0)] * (len(norms) - len(parts))
    assert len(norms) == len(sums) == d // BLOCK + 1
    np.testing.assert_allclose(norms, [np.linalg.norm(part) for part in parts], rtol=1e-5)
    exact = [part @ signs().double().numpy()[: len(part)] for part in parts]
    np.testing.assert_allclose(sums, exact, atol=1e-4 * BLOCK**0.5)
    assert torch.equal(vector, before * factor)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 3e38])
@pytest.mark.parametrize("place", [0, BLOCK + 1, 3 * BLOCK + 2])
def test_one_block_has_no_finite_norm_where_a_value_has_none(bad: float, place: int) -> None:
    vector = drawn(3 * BLOCK + 3)
    vector[place] = bad
    norms, _ = glance(vector, signs())
    assert norms.isfinite().tolist() == [block != place // BLOCK for block in range(4)]


@pytest.mark.parametrize("block", [2, 63, 65, 320])
def test_blocks_may_have_any_length(block: int) -> None:
    vector = drawn(3 * block + 1)
    norms, _ = glance(vector, torch.ones(block))
    torch.testing.assert_close(norms, torch.stack([part.norm() for part in drawn(len(vector)).split(block)]))


def test_what_lies_apart_is_seen_as_well() -> None:
    vector = drawn(4 * BLOCK)[::2]
    for got, wanted in zip(glance(vector, signs()), glance(vector.contiguous(), signs()), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_glancer_sees_what_a_glance_does(dtype: torch.dtype) -> None:
    matrix, blocks = drawn(9 * BLOCK, dtype).view(9, BLOCK), 10
    norms, sums = torch.zeros(2, blocks)
    look = glancer(torch.empty_like(matrix), signs(), norms, sums)
    for one in (matrix, matrix.roll(1), matrix.flip(0).t().reshape(BLOCK, 9).t()):
        look(one)
        for got, wanted in zip((norms, sums), glance(one.reshape(-1), signs()), strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
