"""Products of samples where they lie are those of NumPy, and the same to the bit whatever is beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.kernels.scattered import Scattered

pytestmark = pytest.mark.usefixtures("compiled")

DTYPES = [torch.float32, torch.float64]
SIZES = [
    (1, 1, 1, 1),
    (2, 5, 3, 2),
    (3, 83, 100, 784),
    (2, 7, 130, 65),
    (1, 200, 9, 128),
    (4, 3, 16, 113),
    (5, 200, 9, 33),
]


def drawn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(
        dtype
    )


def some(groups: int, samples: int, width: int, dtype: torch.dtype) -> Scattered:
    index = torch.randint(50, (groups, samples), generator=torch.Generator().manual_seed(1))
    return Scattered(drawn(50, width, dtype=dtype), index)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("groups", "samples", "outputs", "width"), SIZES)
@pytest.mark.parametrize("biased", [False, True])
def test_linear(
    groups: int, samples: int, outputs: int, width: int, biased: bool, dtype: torch.dtype
) -> None:
    chosen = some(groups, samples, width, dtype)
    weight, bias = drawn(outputs, width, dtype=dtype), drawn(outputs, dtype=dtype)
    got = chosen.linear(weight, bias if biased else None)
    want = chosen.gathered().flatten(0, 1).double() @ weight.double().T + (bias.double() if biased else 0)
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(got.double(), want, **close)
    for group in range(groups):
        alone = chosen[group].linear(weight, bias if biased else None)
        assert torch.equal(alone, got.unflatten(0, chosen.index.shape)[group])
    assert torch.equal(got[-1:], chosen[-1:][:, -1:].linear(weight, bias if biased else None))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("groups", "samples", "outputs", "width"), SIZES)
def test_outer_sums(groups: int, samples: int, outputs: int, width: int, dtype: torch.dtype) -> None:
    chosen = some(groups, samples, width, dtype)
    delta = drawn(groups, samples, outputs, dtype=dtype)
    room = torch.full((groups, outputs * width + 5), 7.0, dtype=dtype)
    out = room[:, : outputs * width].unflatten(-1, (outputs, width))
    squares = chosen.outer_sums(delta, out)
    want = delta.double().mT @ chosen.gathered().double()
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(out.double(), want, **close)
    assert (room[:, outputs * width :] == 7).all()
    np.testing.assert_allclose(squares, out.double().square().sum((1, 2)), rtol=1e-6)
    alone = torch.empty_like(out[-1:])
    assert torch.equal(chosen[-1:].outer_sums(delta[-1:], alone), squares[-1:])
    assert torch.equal(alone, out[-1:])


def test_what_is_not_finite_stays_with_its_sample() -> None:
    chosen = some(2, 6, 40, torch.float32)
    chosen.source[chosen.index[1, 2]] = torch.nan
    hit = (chosen.index == chosen.index[1, 2]).flatten()
    got = chosen.linear(torch.ones(20, 40), None)
    assert got[hit].isnan().all()
    assert got[~hit].isfinite().all()


@pytest.mark.parametrize("outputs", [1, 100, 4000])
def test_small_products_and_strange_sources_are_left_to_others(outputs: int) -> None:
    chosen = some(2, 10, 20, torch.float32)
    assert chosen.readable(outputs) == (outputs == 4000)
    assert not Scattered(chosen.source.half(), chosen.index).readable(outputs)
    assert not Scattered(drawn(20, 50, dtype=torch.float32).T, chosen.index).readable(outputs)
