"""Gathering while reading once is what one would do step by step; the compiled and the slow twin agree."""

from __future__ import annotations

import pytest
import torch

from varangian.kernels import moments as kernel
from varangian.kernels.moments import gather, moments

DTYPES = [torch.float32, torch.float64]
SHAPES = [(1, 1), (2, 7), (3, 16), (5, 1000), (27, 40_001)]


def drawn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "available", lambda: False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("summed", [False, True])
def test_both_twins_agree(
    shape: tuple[int, int], summed: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = drawn(2, *shape, dtype=dtype) * 1e3 + 7
    fast = moments(x, summed=summed)
    monkeypatch.setattr(kernel, "available", lambda: False)
    for one, other in zip(fast, moments(x, summed=summed), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6 if dtype == torch.float32 else 1e-13, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("summed", [False, True])
def test_wide_moments_of_float32_are_those_of_the_widened(shape: tuple[int, int], summed: bool) -> None:
    x = drawn(2, *shape, dtype=torch.float32) * 1e3 + 7
    for one, other in zip(
        moments(x, summed=summed, wide=True), moments(x.double(), summed=summed), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("momentum", [None, (0.9, 1.0), (0.5, 0.25)])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("twin", ["compiled", "eager"])
def test_gathering(
    shape: tuple[int, int],
    momentum: tuple[float, float] | None,
    scaled: bool,
    dtype: torch.dtype,
    twin: str,
    request: pytest.FixtureRequest,
) -> None:
    if twin == "eager":
        request.getfixturevalue("eager")
    k, d = shape
    rows, room = drawn(k, d, dtype=dtype), drawn(k + 2, d, dtype=dtype).flip(0)
    factors = drawn(k, dtype=dtype).abs() if scaled else None
    mu, new = momentum or (0.0, 1.0)
    sampled = rows if factors is None else rows * factors[:, None]
    want = new * sampled + mu * room[:k]
    beyond = room[k:].clone()
    told = rows.new_empty(3, 2, d)[:, 1]
    total = gather(rows, factors, room[:k], momentum, told)
    torch.testing.assert_close(room[:k], want)
    assert torch.equal(room[k:], beyond)
    close = {"rtol": 1e-5 if dtype == torch.float32 else 1e-12, "atol": 1e-6}
    for mean, squares, vectors in ((told[0], total, sampled), (told[1], told[2], want)):
        exact = vectors.double()
        deviations = (exact - exact.mean(0)).square().sum(0)
        torch.testing.assert_close(mean.double(), exact.mean(0), **close)
        got = torch.as_tensor(squares, dtype=torch.float64)
        torch.testing.assert_close(got, deviations if got.ndim else deviations.sum(), **close)


@pytest.mark.parametrize("shape", [(2, 3, 0), (3, 0), (0, 3, 4)])
@pytest.mark.parametrize("summed", [False, True])
def test_without_a_number_there_is_nothing_to_add(shape: tuple[int, ...], summed: bool) -> None:
    mean, squares = moments(torch.zeros(shape), summed=summed, wide=True)
    assert mean.shape == (*shape[:-2], shape[-1])
    assert torch.equal(squares, torch.zeros(*shape[:-2], 1 if summed else shape[-1]).double())
    if len(shape) == 2:
        assert gather(torch.zeros(shape), None, torch.zeros(shape), (0.9, 1.0), torch.zeros(3, 0)) == 0


def test_what_was_not_finite_before_does_not_matter_without_momentum() -> None:
    rows, room = torch.ones(3, 50), torch.full((3, 50), torch.nan)
    gather(rows, None, room, None, torch.empty(3, 50))
    assert torch.equal(room, rows)


def test_threads_change_no_bit() -> None:
    x = drawn(27, 200_000, dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = moments(x, summed=True)
        torch.set_num_threads(2)
        shared = moments(x, summed=True)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
