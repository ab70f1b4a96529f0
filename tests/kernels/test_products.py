"""Products are those of NumPy, whichever library makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.kernels.products import ONEDNN, grouped_linear, linear, outer_sums

SIZES = [(1, 1, 1), (5, 3, 2), (83, 100, 40), (0, 3, 2), (7, 0, 4)]


def drawn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(
        dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
@pytest.mark.parametrize("biased", [False, True])
def test_linear(m: int, k: int, n: int, biased: bool, dtype: torch.dtype) -> None:
    x, weight, bias = drawn(m, k, dtype=dtype), drawn(n, k, dtype=dtype), drawn(n, dtype=dtype)
    got = linear(x, weight, bias if biased else None)
    want = x.double().numpy() @ weight.double().numpy().T + (bias.double().numpy() if biased else 0)
    assert got.dtype == dtype
    np.testing.assert_allclose(got.double(), want, rtol=1e-5, atol=1e-4 if dtype == torch.float32 else 1e-12)
    with np.errstate(all="ignore"):
        strided = linear(x.mT.contiguous().mT, weight.mT.contiguous().mT, bias if biased else None)
    torch.testing.assert_close(strided, got)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (5, 3, 2), (83, 100, 40)])
def test_groups(m: int, k: int, n: int, dtype: torch.dtype) -> None:
    x, weight, bias = drawn(4, m, k, dtype=dtype), drawn(4, n, k, dtype=dtype), drawn(4, n, dtype=dtype)
    got = grouped_linear(x, weight, bias)
    torch.testing.assert_close(
        got, torch.stack([linear(*three) for three in zip(x, weight, bias, strict=True)])
    )
    torch.testing.assert_close(grouped_linear(x, weight), got - bias[:, None], rtol=1e-4, atol=1e-4)
    delta, wide = drawn(4, m, n, dtype=dtype), torch.zeros(4, n * k + 3, dtype=dtype)
    outer_sums(delta, x, wide[:, : n * k].view(4, n, k))
    want = delta.double().numpy().transpose(0, 2, 1) @ x.double().numpy()
    np.testing.assert_allclose(wide[:, : n * k].view(4, n, k).double(), want, rtol=1e-4, atol=1e-4)
    assert (wide[:, n * k :] == 0).all()


def test_this_torch_has_the_fast_product() -> None:
    """The pinned release has it; where a later one has not, the plain product serves."""
    assert torch.backends.mkldnn.is_available() == ONEDNN
