"""Divide and conquer tells vectors apart by where they lie, not by how they were rounded."""

from __future__ import annotations

import pytest
import torch

import varangian as vg


@pytest.mark.parametrize("place", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_of_two_copies_the_first_is_kept(seed: int, place: int) -> None:
    x = torch.randn(8, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[5] = x[2] = 4 * x[2]
    distances = torch.stack([(x - row).square().sum(-1) for row in x])[None]
    distances[0, place] *= 1 + 4e-15
    distances[0, :, place] = distances[0, place]
    weights = vg.DnC(f=1, c=1.0, iterations=1).weights(distances)
    assert (weights == 0).nonzero().tolist() == [[5]]
