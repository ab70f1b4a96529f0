"""Products are those of NumPy, whichever library makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.kernels.products import ONEDNN, gram, grouped_linear, linear, outer_sums

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
@pytest.mark.parametrize("groups", [1, 3])
def test_groups(groups: int, m: int, k: int, n: int, dtype: torch.dtype) -> None:
    x, weight = drawn(4, groups, m, k, dtype=dtype), drawn(4, groups, n, k, dtype=dtype)
    bias = drawn(4, groups, n, dtype=dtype)
    close = {"rtol": 1e-4, "atol": 1e-4}
    want = x.double() @ weight.double().mT
    torch.testing.assert_close(grouped_linear(x, weight).double(), want, **close)
    biased = grouped_linear(x, weight, bias)
    torch.testing.assert_close(biased.double(), want + bias[:, :, None].double(), **close)
    for run in range(4):
        here = slice(run, run + 1)
        assert torch.equal(grouped_linear(x[here], weight[here], bias[here])[0], biased[run])
    delta, wide = drawn(groups, m, n, dtype=dtype), torch.zeros(groups, n * k + 3, dtype=dtype)
    out = wide[:, : n * k].unflatten(-1, (n, k))
    outer_sums(delta, x[0], out)
    torch.testing.assert_close(out.double(), delta.double().mT @ x[0].double(), **close)
    assert (wide[:, n * k :] == 0).all()


def test_gram() -> None:
    vectors = drawn(2, 3, 500, dtype=torch.float32)
    torch.testing.assert_close(gram(vectors), vectors @ vectors.mT, rtol=1e-4, atol=1e-3)
    assert torch.equal(gram(vectors[1]), gram(vectors)[1])


def test_this_torch_has_the_fast_product() -> None:
    """The pinned release has it; where a later one has not, the plain product serves."""
    assert torch.backends.mkldnn.is_available() == ONEDNN
