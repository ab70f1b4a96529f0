"""One round of a federation, in no framework's types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import varangian as vg
from varangian.errors import ParameterError, ToleranceError, WeightsError
from varangian.federation import Round
from varangian.federation.terms import capped, default_cap

MODEL = {"w": np.full((2, 3), 50, np.float32), "b": np.zeros((), np.float32)}


def moved(by: float, kind: Any = np.float32) -> dict[str, Any]:
    return {name: np.asarray(array + by, dtype=kind) for name, array in MODEL.items()}


def filled(rule: vg.Stage, values: list[float], claims: list[Any] | None = None, **options: Any) -> Round:
    current = Round(rule, MODEL, range(len(values)), **options)
    for client, value in enumerate(values):
        current.take(client, moved(value), 10 if claims is None else claims[client])
    return current


def test_the_faulty_are_counted_among_the_f() -> None:
    current = filled(vg.Krum(f=2), [1, 1, 1, 1, 1, 1, np.nan])
    assert current.enough, "Six are enough for Krum(f=1), which is what is left to withstand."
    outcome = current.close()
    assert not outcome.breach
    assert outcome.model["w"].tolist() == [[51.0] * 3] * 2


def test_the_silent_are_not() -> None:
    current = Round(vg.Krum(f=2), MODEL, range(7))
    for client in range(6):
        current.take(client, moved(1))
    assert not current.enough
    assert "Krum(f=2) received n = 6 vectors" in current.close().breach


def test_a_second_reply_and_a_strangers_are_not_looked_at() -> None:
    current = filled(vg.Median(f=1), [1, 1, 1])
    assert "has answered" in current.take(0, moved(9))
    assert "not asked" in current.take("stranger", moved(9))
    assert current.close().model["b"] == 1


def test_order_does_not_matter() -> None:
    replies = {client: moved(float(client % 4)) for client in range(9)}
    rule = vg.chain(vg.Bucketing(f=1, s=2), vg.Median(f=1))
    results = []
    for order in (sorted(replies), sorted(replies, reverse=True)):
        current = Round(rule, MODEL, range(9))
        for client in order:
            current.take(client, replies[client])
        results.append(current.close().model["w"])
    np.testing.assert_array_equal(*results)


def test_an_aggregate_that_overflows_is_a_breach() -> None:
    outcome = filled(vg.Average(), [3e38, 3e38]).close()
    assert not outcome.breach
    huge = {name: np.full(array.shape, 3e38, np.float32) for name, array in MODEL.items()}
    current = Round(vg.Average(), huge, range(1), claims=False)
    more = {name: np.full_like(array, 1e38) for name, array in huge.items()}
    assert not current.take(0, more, differences=True)
    outcome = current.close()
    assert "would not be finite" in outcome.breach
    assert outcome.model["w"][0, 0] == np.float32(3e38)


def test_what_can_be_no_round_is_refused() -> None:
    with pytest.raises(ToleranceError):
        Round(vg.Krum(f=3), MODEL, range(4))
    with pytest.raises(ParameterError, match="ends in one"):
        Round(vg.NearestNeighborMixing(f=1), MODEL, range(5))
    with pytest.raises(ParameterError, match="vector of the server's own"):
        Round(vg.FLTrust(), MODEL, range(5))
    with pytest.raises(WeightsError, match="nothing to cap"):
        Round(vg.Krum(f=1), MODEL, range(5), cap=0.3)
    with pytest.raises(ParameterError, match="nothing to aggregate"):
        Round(vg.Median(f=1), {"seen": np.array(3)}, range(5))


def test_nobody_claims_an_example() -> None:
    assert "No client claims an example" in filled(vg.Average(), [1, 1], [0, 0]).close().breach


CLAIMS = st.lists(st.floats(0, 1e300) | st.integers(0, 10**40), min_size=3, max_size=12)


@given(CLAIMS, st.integers(0, 5))
def test_no_claim_gives_more_than_the_cap_and_liars_never_hold_half(claims: list[Any], f: int) -> None:
    f = min(f, (len(claims) - 1) // 2)
    holders = sum(claim > 0 for claim in claims)
    shares = capped(claims, None, f)
    assert sum(shares) == pytest.approx(1)
    if holders > 2 * f:
        assert max(shares) <= max(default_cap(holders, f), 1 / holders) + 1e-9
        assert sum(sorted(shares)[len(shares) - f :]) < 0.5


@given(CLAIMS)
def test_no_claim_ends_a_round(claims: list[Any]) -> None:
    outcome = filled(vg.TrimmedMean(f=1), [1.0] * len(claims), claims).close()
    assert outcome.breach or outcome.model["b"] == pytest.approx(1, abs=1e-6)


def test_more_suspected_than_declared_is_a_breach() -> None:
    accountant = vg.Accountant(vg.Median(f=1), warm=3)
    random = np.random.default_rng(1)
    for number in range(1, 8):
        current = Round(vg.Median(f=1), MODEL, range(7), number=number, accountant=accountant)
        for client in range(7):
            noise = {name: array + random.standard_normal(array.shape) for name, array in MODEL.items()}
            lies = number == 7 and client in (2, 5)
            scale = 1e4 if lies else 1
            current.take(client, {name: np.asarray(scale * a, np.float32) for name, a in noise.items()}, 10)
        outcome = current.close()
        assert bool(outcome.breach) == (number == 7)
    assert "Round 7: 2 parties are suspected, and f = 1 were declared" in outcome.breach
    assert "2, step 7: " in outcome.breach
    assert "5, step 7: " in outcome.breach
    assert outcome.model["w"] is MODEL["w"], "The model is kept."


def test_the_refused_count_for_the_accountant_in_their_round_alone() -> None:
    accountant = vg.Accountant(vg.Median(f=2))
    for number in (1, 2):
        current = Round(vg.Median(f=2), MODEL, range(7), number=number, accountant=accountant)
        for client in range(7):
            current.take(client, moved(np.nan if client == number else 1), 10)
        assert not current.close().breach
    assert not accountant.suspects
    assert [account.n for account in accountant.history] == [6, 6]


def test_records_tell_norm_cosine_and_influence() -> None:
    outcome = filled(vg.Average(), [1, 1, 4], claims=[1, 1, 1], cap=1.0).close()
    norms = [record.norm for record in outcome.records]
    assert norms == pytest.approx([7**0.5, 7**0.5, 4 * 7**0.5])
    assert [record.cosine for record in outcome.records] == pytest.approx([1, 1, 1])
    # From the others' means, 2.5, 2.5 and 1, to the mean, 2; the deviation is 2 ** 0.5.
    influence = [record.influence for record in outcome.records]
    assert influence == pytest.approx([0.5 / 2**0.5, 0.5 / 2**0.5, 1 / 2**0.5])


@pytest.mark.parametrize("lie", [np.nan, None], ids=["all are refused", "nobody answers"])
def test_nothing_of_use_is_a_breach(lie: float | None) -> None:
    current = Round(vg.Median(f=1), MODEL, range(4))
    for client in range(4 if lie is not None else 0):
        current.take(client, moved(np.nan))
    outcome = current.close()
    assert "The model is kept" in outcome.breach
    assert len(outcome.records) == 4
    assert not outcome.shares
