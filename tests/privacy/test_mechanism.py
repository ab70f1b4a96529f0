"""The noise of one step, the clipping before it, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from varangian.core.randomness import Stream
from varangian.errors import ParameterError, ShapeError
from varangian.privacy import Privacy, clip_samples, noise

finite = st.floats(-1e6, 1e6, width=32)
hostile = st.one_of(
    finite, st.sampled_from([math.inf, -math.inf, math.nan, 1e30, -3e38, 1e-40]), st.floats(width=32)
)


@st.composite
def batches(draw: Any, values: Any = hostile) -> torch.Tensor:
    b, d = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    rows = draw(st.lists(st.lists(values, min_size=d, max_size=d), min_size=b, max_size=b))
    return torch.tensor(rows, dtype=torch.float32)


def slowly(rows: torch.Tensor, norm: float) -> np.ndarray[Any, Any]:
    """Return the mean of the clipped rows, one after the other in float64."""
    total = np.zeros(rows.shape[1])
    for row in rows.double().numpy():
        if not np.isfinite(row).all():
            continue
        length = math.sqrt(math.fsum(value * value for value in row))
        total += row * min(1.0, norm / length) if length else row
    return np.asarray(total / len(rows))


@given(batches(), st.sampled_from([0.01, 1.0, 50.0]))
def test_clipping_is_its_definition(rows: torch.Tensor, norm: float) -> None:
    before = rows.clone()
    clipped = clip_samples(rows, norm)
    np.testing.assert_allclose(clipped.numpy(), slowly(rows, norm), rtol=1e-5, atol=1e-6 * norm)
    assert torch.equal(rows.nan_to_num(nan=7.0), before.nan_to_num(nan=7.0))


@given(batches(), st.data())
def test_one_sample_moves_little(rows: torch.Tensor, data: st.DataObject) -> None:
    norm, (b, d) = 0.5, rows.shape
    other = rows.clone()
    place = data.draw(st.integers(0, b - 1))
    other[place] = torch.tensor(data.draw(st.lists(hostile, min_size=d, max_size=d)))
    moved = (clip_samples(rows, norm) - clip_samples(other, norm)).double().norm()
    assert moved <= Privacy(epsilon=0.1, norm=norm).sensitivity(b) * (1 + 1e-5)


def test_the_bound_on_one_sample_is_reached() -> None:
    rows = torch.zeros(4, 2)
    rows[0, 0] = 9.0
    moved = clip_samples(rows, 0.5) - clip_samples(-rows, 0.5)
    assert moved.norm() == pytest.approx(Privacy(epsilon=0.1, norm=0.5).sensitivity(4))


def test_clipping_the_mean_would_move_b_times_as_far() -> None:
    ones = torch.ones(50, 1)
    lie = ones.clone()
    lie[0] = -1e6
    clipped = [mean * (0.5 / mean.norm().clamp(min=0.5)) for mean in (ones.mean(0), lie.mean(0))]
    assert (clipped[0] - clipped[1]).norm() > 40 * Privacy(epsilon=0.1, norm=0.5).sensitivity(50)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_batches_of_problems_and_dtypes(dtype: torch.dtype) -> None:
    rows = torch.randn(3, 2, 6, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    together = clip_samples(rows, 1.0)
    assert together.dtype == dtype
    assert together.shape == (3, 2, 5)
    alone = torch.stack([clip_samples(rows[i, j], 1.0) for i in range(3) for j in range(2)])
    torch.testing.assert_close(together.reshape(6, 5), alone)


def test_noise_has_the_deviation_and_no_other_source() -> None:
    privacy = Privacy(epsilon=0.5, norm=0.01, delta=1e-5)
    state = torch.get_rng_state()
    drawn = noise(privacy, 20, 200_000, Stream(3).at("noise", worker=1, step=2), torch.float64)
    assert torch.equal(torch.get_rng_state(), state)
    expected = 2 * 0.01 / 20 * math.sqrt(2 * math.log(1.25e5)) / 0.5
    assert privacy.deviation(20) == pytest.approx(expected, rel=1e-12)
    assert drawn.std() == pytest.approx(expected, rel=0.01)  # 6 standard errors
    assert abs(drawn.mean()) < 6 * expected / math.sqrt(len(drawn))
    again = noise(privacy, 20, 200_000, Stream(3).at("noise", worker=1, step=2), torch.float64)
    assert torch.equal(drawn, again)
    other = noise(privacy, 20, 200_000, Stream(3).at("noise", worker=1, step=3), torch.float64)
    assert abs(torch.corrcoef(torch.stack([drawn, other]))[0, 1]) < 6 / math.sqrt(len(drawn))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"epsilon": 0.0}, "epsilon must be above 0"),
        ({"epsilon": -1.0}, "epsilon must be above 0"),
        ({"epsilon": math.nan}, "finite number"),
        ({"norm": 0.0}, "norm must be above 0"),
        ({"norm": math.inf}, "finite number"),
        ({"delta": 0.0}, "delta must be above 0"),
        ({"delta": 1.0}, "below 1"),
        ({"clip": "mean"}, "sample, batch"),
    ],
)
def test_impossible_fields_are_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ParameterError, match=word):
        Privacy(**{"epsilon": 0.2, "norm": 0.01, **fields})


def test_impossible_batches_are_refused() -> None:
    with pytest.raises(ParameterError, match="batch_size must be at least 1"):
        Privacy(0.2, 0.01).deviation(0)
    with pytest.raises(ShapeError, match="no sample"):
        clip_samples(torch.zeros(0, 3), 1.0)
    for norm in (0.0, -1.0, math.nan):
        with pytest.raises(ParameterError, match="norm must be above 0"):
            clip_samples(torch.zeros(2, 3), norm)


def test_what_is_not_guaranteed_is_told() -> None:
    assert Privacy(0.2, 0.01).sound
    assert not Privacy(0.2, 0.01, clip="batch").sound
    assert "no guarantee" in str(Privacy(0.2, 0.01, clip="batch"))
    assert "proven below 1" in Privacy(1.0, 0.01).caveat
    value = Privacy(0.2, 0.01, clip="batch")
    assert eval(repr(value), {"Privacy": Privacy}) == value
