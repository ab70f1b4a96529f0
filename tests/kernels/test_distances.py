"""Squared distances against NumPy in float64, at every scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.kernels.distances import pairwise, to_each, total
from varangian.kernels.rows import LARGEST, Rows, Segment


def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array([[np.sum((a - b) ** 2) for b in y] for a in x])


def summed(*tables: torch.Tensor) -> torch.Tensor:
    return total(torch.zeros_like(tables[0]), tables)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1.0, 1e10, 1e25, 3e37])
def test_pairwise(dtype: torch.dtype, scale: float) -> None:
    x = (torch.randn(6, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * scale).to(
        dtype
    )
    want = exact(x.double().numpy(), x.double().numpy())
    got = summed(pairwise(x)).numpy()
    assert np.allclose(got, want, rtol=1e-12, atol=0)
    assert (np.diag(got) == 0).all()
    assert (got == got.T).all()


def test_the_largest_float32_does_not_overflow() -> None:
    most = torch.finfo(torch.float32).max
    x = torch.tensor([[most, -most], [-most, most], [0.0, 0.0]])
    got = summed(pairwise(x))
    assert got.isfinite().all()
    assert float(got[0, 1]) == pytest.approx(8 * most**2, rel=1e-12)


@pytest.mark.parametrize("value", [1e150, 1e200, 1.7e308])
def test_float64_beyond_the_range_is_read_as_the_largest(value: float) -> None:
    x = torch.tensor([[value], [-value], [0.0]], dtype=torch.float64).expand(3, 1000)
    rows = Rows([Segment(x)])
    got = summed(*(pairwise(block.values) for block in rows.blocks()))
    assert got.isfinite().all()
    assert float(got[0, 1]) == pytest.approx(4000 * LARGEST**2)
    assert float(got[2, 2]) == 0.0
    assert rows.nonfinite.tolist() == [0, 0, 0]


def test_no_block_leaves_the_start() -> None:
    start = torch.eye(2, dtype=torch.float64)
    assert torch.equal(total(start, []), start)


def test_close_vectors_of_huge_norm_keep_their_digits() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal(100_000) * 1e4
    x = (w + 1e-3 * rng.standard_normal((4, 100_000))).astype(np.float32)
    got = summed(pairwise(torch.from_numpy(x))).numpy()
    assert np.allclose(got, exact(x.astype(float), x.astype(float)), rtol=1e-10, atol=0)


def test_to_each() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 5, 7, generator=generator), torch.randn(2, 3, 7, generator=generator)
    got = to_each(x, y)
    assert got.shape == (2, 5, 3)
    for k in range(2):
        assert np.allclose(got[k], exact(x[k].double().numpy(), y[k].double().numpy()), rtol=1e-12)


def test_total_of_blocks_is_the_whole() -> None:
    x = torch.randn(5, 90, generator=torch.Generator().manual_seed(2))
    blocks = [pairwise(x[:, i : i + 13]) for i in range(0, 90, 13)]
    assert torch.allclose(summed(*blocks), pairwise(x), rtol=1e-13)


def test_one_vector_has_no_distance() -> None:
    assert torch.equal(pairwise(torch.ones(1, 3)), torch.zeros(1, 1, dtype=torch.float64))
