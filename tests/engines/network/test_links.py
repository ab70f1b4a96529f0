"""Delays, losses and duplicates are those that a link declares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varangian.engines.network import Constant, Delay, Exponential, HeavyTailed, Link, Uniform
from varangian.errors import ParameterError

BODY = np.ones(1000, np.float32)


@pytest.mark.parametrize(
    ("delay", "median"),
    [
        (Constant(0.5), 0.5),
        (Uniform(0.0, 2.0), 1.0),
        (Exponential(2.0), 2 * np.log(2)),
        (HeavyTailed(0.3, 1.5), 0.3),
    ],
)
def test_delays_have_their_median(delay: Delay, median: float) -> None:
    rng = np.random.default_rng(1)
    drawn = [delay.draw(rng) for _ in range(20_000)]
    assert min(drawn) >= 0
    assert np.median(drawn) == pytest.approx(median, rel=0.05)


def test_a_reliable_link_says_it_again() -> None:
    rng, link = np.random.default_rng(1), Link(Constant(1.0), loss=0.5, timeout=2.0)
    drawn = [link.transit(BODY, rng) for _ in range(4000)]
    assert all(body is BODY for _, body in drawn)
    waits = np.array([seconds for seconds, _ in drawn])
    for tries in range(4):
        assert np.mean(waits == 1 + 2 * (2**tries - 1)) == pytest.approx(0.5 ** (tries + 1), abs=0.03)


@given(st.integers(0, 1000), st.floats(0.01, 0.9))
def test_a_lossy_link_loses_pieces(seed: int, loss: float) -> None:
    link = Link(Constant(1.0), loss=loss, lossy=True, piece=70)
    seconds, body = link.transit(BODY, np.random.default_rng(seed))
    assert seconds == 1.0
    assert body.dtype == BODY.dtype
    assert BODY.all()
    pieces = [np.isnan(body[k : k + 70]) for k in range(0, 1000, 70)]
    assert all(piece.all() or not piece.any() for piece in pieces)
    whole = np.arange(9, dtype=np.uint8)
    assert link.transit(whole, np.random.default_rng(seed))[1].tolist() == whole.tolist()


@pytest.mark.parametrize("share", [{"loss": 1.0}, {"duplicate": -0.1}, {"reorder": 2.0}])
def test_a_probability_is_one(share: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match="probability"):
        Link(**share)
