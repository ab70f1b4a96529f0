"""Moments lose no digit however close the vectors are; what is gathered has the moments of what it is."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from varangian.core.moments import Moments


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 10**6), st.sampled_from([0.0, 1e3, 1e8]))
def test_moments(count: int, d: int, seed: int, offset: float) -> None:
    x = np.random.default_rng(seed).standard_normal((count, d)) + offset
    whole = Moments.of(torch.from_numpy(x))
    assert whole.count == len(x)
    np.testing.assert_allclose(whole.mean, x.mean(0), rtol=1e-14, atol=1e-14 * (1 + offset))
    want = ((x - x.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(whole.squares, want, rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(whole.deviation, np.sqrt(want / max(1, len(x) - 1)), rtol=1e-7, atol=1e-4)


def test_one_vector_has_no_spread() -> None:
    moments = Moments.of(torch.tensor([[1.0, -2.0]]))
    assert moments.variance == 0
    assert torch.equal(moments.deviation, torch.zeros(2))


def test_copies_have_none_either() -> None:
    copies = Moments.copies(torch.tensor([3.0, 4.0]), 5)
    assert copies.count == 5
    assert copies.variance == 0
    measured = Moments.of(torch.tensor([0.1, 1e30]).expand(5, -1))
    assert torch.equal(measured.mean, torch.tensor([0.1, 1e30]))
    assert measured.variance == 0


def test_a_part_of_a_batch() -> None:
    x = torch.randn(3, 5, 2)
    assert torch.equal(Moments.of(x)[1:].squares, Moments.of(x[1:]).squares)
