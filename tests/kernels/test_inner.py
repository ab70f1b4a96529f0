"""Inner products and largest numbers in one read are NumPy's; the compiled and the slow twin agree."""

from __future__ import annotations

import pytest
import torch

from varangian.kernels import inner as kernel
from varangian.kernels.inner import inner


def drawn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(
        dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 4, 6])
@pytest.mark.parametrize("d", [1, 7, 8, 100, 1003])
@pytest.mark.parametrize("twin", ["compiled", "eager"])
def test_inner(k: int, d: int, dtype: torch.dtype, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if twin == "eager":
        monkeypatch.setattr(kernel, "available", lambda: False)
    x = drawn(3, k, d, dtype=dtype) * 100
    table, largest = inner(list(x.unbind(-2)))
    exact = x.double()
    torch.testing.assert_close(table, exact @ exact.mT, rtol=1e-12, atol=1e-8)
    assert torch.equal(largest, exact.abs().amax(-1))
    alone = inner([vector[1] for vector in x.unbind(-2)])
    assert torch.equal(alone[0], table[1])
    assert torch.equal(alone[1], largest[1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_shows_where_it_is(bad: float) -> None:
    x = drawn(2, 30, dtype=torch.float32)
    x[1, 3] = bad
    table, largest = inner([x[0], x[1]])
    assert torch.isfinite(table[0, 0])
    assert torch.isfinite(largest[0])
    assert not torch.isfinite(table[1]).any()
    assert torch.equal(largest[1].isnan(), torch.tensor(bad).isnan())
    assert not torch.isfinite(largest[1])


def test_vectors_of_other_kinds_are_read_as_the_first() -> None:
    x = drawn(2, 30, dtype=torch.float64)
    table, _ = inner([x[0].float(), x[1]])
    wanted = x.float().double()
    torch.testing.assert_close(table, wanted @ wanted.mT, rtol=1e-12, atol=0)
