"""Trust is a cosine: where nobody goes the trusted way, nobody is trusted."""

from __future__ import annotations

import pytest
import torch

import varangian as vg


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_who_goes_across_is_not_trusted(seed: int, dtype: torch.dtype) -> None:
    """However cosines are rounded, which is all that is left of them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(5, 40, generator=generator, dtype=dtype)
    x[:, :20] = 0
    pivot = torch.randn(40, generator=generator, dtype=dtype)
    pivot[20:] = 0
    assert torch.equal(vg.FLTrust()(x, pivot=pivot), torch.zeros(40, dtype=dtype))


def test_a_small_cosine_is_told_exactly_beside_long_vectors() -> None:
    """Of one in fifty, at a length eighty times that of the trusted vector."""
    generator = torch.Generator().manual_seed(0)
    pivot = torch.randn(9_000, generator=generator)
    x = 80 * (torch.randn(5, 9_000, generator=generator) + 0.02 * pivot)
    exact = vg.FLTrust()(x.double(), pivot=pivot.double())
    torch.testing.assert_close(vg.FLTrust()(x, pivot=pivot).double(), exact, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e77, 1e120])
def test_trust_is_the_same_at_every_scale(scale: float) -> None:
    x = scale * torch.tensor([[1.0, 1.0], [2.0, 1.0], [-1.0, 0.5]], dtype=torch.float64)
    pivot = scale * torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(
        vg.FLTrust()(x, pivot=pivot) / scale, vg.FLTrust()(x / scale, pivot=pivot / scale)
    )
