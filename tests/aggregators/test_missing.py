"""What did not arrive is left out, coordinate by coordinate, and liars among what did stay harmless."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import varangian as vg
from varangian.core.stages import Stage
from varangian.errors import ChainError, WeightsError
from varangian.specification import parse_rule

Oracle = Callable[[np.ndarray], np.ndarray]

MAKERS: dict[str, tuple[Callable[[int], Stage], Callable[[int], Oracle]]] = {
    "average": (lambda f: vg.Average(missing=True), lambda f: oracle.average),
    "median": (lambda f: vg.Median(f=f, missing=True), lambda f: oracle.median),
    "lower median": (
        lambda f: vg.Median(f=f, as_released=True, missing=True),
        lambda f: lambda x: oracle.median(x, lower=True),
    ),
    "trimmed mean": (
        lambda f: vg.TrimmedMean(f=f, missing=True),
        lambda f: lambda x: oracle.trimmed_mean(x, f),
    ),
}


def by_hand(x: np.ndarray, truth: Oracle, least: int) -> np.ndarray:
    """Go through the columns one by one, with the values that are there."""
    out = np.zeros(x.shape[1])
    for place, column in enumerate(x.T):
        there = column[np.isfinite(column)]
        if len(there) >= least:
            out[place] = truth(there[:, None])[0]
    return out


def least(name: str, f: int) -> int:
    return 1 if name == "average" else 2 * f + 1


def gappy(n: int, d: int, seed: int, lost: float) -> np.ndarray:
    source = np.random.default_rng(seed)
    x = source.normal(size=(n, d))
    x[source.random((n, d)) < lost] = np.nan
    return x


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("lost", [0.0, 0.01, 0.1, 0.6, 1.0])
@pytest.mark.parametrize(("n", "f"), [(1, 0), (2, 0), (5, 2), (8, 2), (11, 3), (40, 5)])
def test_the_brute_force_says_the_same(name: str, lost: float, n: int, f: int) -> None:
    rule, truth = MAKERS[name][0](f), MAKERS[name][1](f)
    x = gappy(n, 211, seed=n + f, lost=lost)
    expected = by_hand(x, truth, least(name, f))
    torch.testing.assert_close(rule(torch.from_numpy(x)), torch.from_numpy(expected), rtol=1e-12, atol=1e-13)
    narrow = torch.from_numpy(x).float()
    expected = by_hand(narrow.double().numpy(), truth, least(name, f))
    torch.testing.assert_close(rule(narrow), torch.from_numpy(expected).float(), rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("name", MAKERS)
def test_where_nothing_is_missing_it_is_the_rule_itself(name: str) -> None:
    rule = MAKERS[name][0](2)
    plain = type(rule)(**{**vars(rule), "missing": False})
    x = torch.randn(9, 5000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rule(x), plain(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", MAKERS)
def test_batches_lists_and_narrow_numbers(name: str) -> None:
    rule = MAKERS[name][0](1)
    x = torch.from_numpy(np.stack([gappy(7, 40, seed, 0.2) for seed in range(6)])).reshape(2, 3, 7, 40)
    whole = rule(x)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(whole[i, j], rule(x[i, j]), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(rule(list(x[0, 0])), whole[0, 0], rtol=1e-12, atol=1e-13)
    for dtype in (torch.float16, torch.bfloat16):
        low = x.to(dtype)
        torch.testing.assert_close(rule(low), rule(low.double()).to(dtype), rtol=1e-2, atol=1e-2)


def test_who_sent_less_is_counted() -> None:
    x = torch.ones(4, 6)
    x[1, 2:] = torch.nan
    x[2, 0] = torch.inf
    seen = vg.Median(f=1, missing=True).aggregate(x)
    assert seen.nonfinite.tolist() == [0, 4, 1, 0]
    assert torch.equal(seen.value, torch.ones(6))


@given(
    data=st.data(),
    f=st.integers(0, 3),
    more=st.integers(0, 4),
    lower=st.booleans(),
)
def test_liars_never_leave_the_honest_range(data: st.DataObject, f: int, more: int, lower: bool) -> None:
    """A coordinate's answer lies within the honest values that arrived, or is 0 where too few did."""
    n, d = 2 * f + 1 + more, 6
    numbers = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))
    lies = numbers | st.sampled_from([3e38, -3e38, float("inf"), float("-inf"), 0.0])
    rows = [data.draw(st.lists(lies if row < f else numbers, min_size=d, max_size=d)) for row in range(n)]
    x = torch.tensor(rows, dtype=torch.float64)
    order = data.draw(st.permutations(range(n)))
    there, honest = x.isfinite(), x[f:]
    for rule in (
        vg.Median(f=f, as_released=lower, missing=True),
        vg.TrimmedMean(f=f, missing=True),
    ):
        out = rule(x[list(order)])
        for place in range(d):
            if int(there[:, place].sum()) <= 2 * f:
                assert out[place] == 0
                continue
            good = honest[honest[:, place].isfinite(), place]
            slack = 1e-9 * float(good.abs().max())
            assert float(good.min()) - slack <= float(out[place]) <= float(good.max()) + slack


def test_weights() -> None:
    x = torch.tensor([[1.0, 1.0], [4.0, torch.nan], [torch.nan, torch.nan]])
    shares = torch.tensor([1.0, 2.0, 2.5])
    torch.testing.assert_close(vg.Average(missing=True)(x, weights=shares), torch.tensor([3.0, 1.0]))
    with pytest.raises(WeightsError, match="nobody knows how much mass is missing"):
        vg.TrimmedMean(f=1, missing=True)(x, weights=shares)


@pytest.mark.parametrize("name", MAKERS)
def test_no_mixer_before_it(name: str) -> None:
    with pytest.raises(ChainError, match="leaves out what is missing"):
        vg.chain(vg.NearestNeighborMixing(f=1), MAKERS[name][0](1))


def test_spellings() -> None:
    assert parse_rule("mean:missing=true", f=1) == vg.Average(missing=True)
    assert parse_rule("median:missing=true", f=1) == vg.Median(f=1, missing=True)
    assert parse_rule("trmean:missing=true", f=2) == vg.TrimmedMean(f=2, missing=True)
