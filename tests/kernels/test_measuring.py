"""Compiled distances against float64, on every dtype and shape, at every scale, in any company."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from varangian.kernels import eager, measuring
from varangian.kernels.compiled.distances import PANEL
from varangian.kernels.compiled.tasks import Stretch
from varangian.kernels.distances import pairwise
from varangian.kernels.measuring import measurable, measured
from varangian.kernels.plans import Plan
from varangian.kernels.programs import Middle
from varangian.kernels.rows import FEW, LARGEST, Rows, Segment

pytestmark = pytest.mark.usefixtures("compiled")

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def table(rows: Rows, pivots: Sequence[int | None] = (), *, all_pairs: bool = True) -> torch.Tensor:
    assert measurable(rows)
    return measured(rows, pivots, all_pairs=all_pairs)


def alone(x: torch.Tensor) -> torch.Tensor:
    return table(Rows([Segment(x)]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 11, 25])
@pytest.mark.parametrize("d", [0, 1, 7, 513, FEW + 1, PANEL + 77])
def test_every_dtype_and_shape(dtype: torch.dtype, n: int, d: int) -> None:
    x = drawn(n, d).to(dtype)
    got = alone(x)
    tolerance = 1e-12 if d < FEW or dtype == torch.float64 else 2e-7
    torch.testing.assert_close(got, pairwise(x), rtol=tolerance, atol=0)
    assert (got.diagonal() == 0).all()
    assert torch.equal(got, got.T)


def test_rows_that_are_apart_in_memory() -> None:
    wide = drawn(7, 20_001).float()
    views = Rows([Segment(wide[::2, 3:-5])])
    listed = Rows([Segment(tuple(row[3:-5].clone() for row in wide[::2]))])
    assert torch.equal(table(views), table(listed))
    torch.testing.assert_close(table(views), pairwise(wide[::2, 3:-5]), rtol=2e-7, atol=0)
    assert not measurable(Rows([Segment(wide.T)]))


def test_segments_of_several_dtypes_add_up() -> None:
    x = drawn(5, 30_000)
    parts = [x[:, :100].float(), x[:, 100:20_000].contiguous(), x[:, 20_000:].bfloat16()]
    want = sum(pairwise(part) for part in parts)
    torch.testing.assert_close(table(Rows([Segment(part) for part in parts])), want, rtol=1e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e-20, 1e-18, 1e-6, 1e10, 1e17, 1e19, 1e25, 3e37])
@pytest.mark.parametrize("d", [300, 20_001])
def test_every_scale(dtype: torch.dtype, scale: float, d: int) -> None:
    x = (drawn(6, d) * scale).to(dtype)
    torch.testing.assert_close(alone(x), pairwise(x), rtol=2e-7, atol=0)


@pytest.mark.parametrize("scale", [1e4, 1e6, 1e10, 1e19, 1e30])
def test_outliers_among_close_vectors(scale: float) -> None:
    weights = drawn(1, 50_000) * 1e2
    x = (weights + 1e-2 * drawn(9, 50_000, seed=1)).float()
    x[[2, 5]] = (drawn(2, 50_000, seed=2) * scale).float()
    torch.testing.assert_close(alone(x), pairwise(x), rtol=1e-7, atol=0)


def test_close_vectors_of_huge_norm_keep_their_digits() -> None:
    x = (drawn(1, 100_000) * 1e4 + 1e-3 * drawn(4, 100_000, seed=1)).float()
    torch.testing.assert_close(alone(x), pairwise(x), rtol=1e-7, atol=0)


@pytest.mark.parametrize("value", [1e150, 1e200, 1.7e308])
def test_float64_beyond_the_range_is_read_as_the_largest(value: float) -> None:
    x = torch.tensor([[value], [-value], [0.0]], dtype=torch.float64).repeat(1, 1000)
    got = alone(x)
    assert float(got[0, 1]) == pytest.approx(4000 * LARGEST**2)
    torch.testing.assert_close(got, pairwise(x.clamp(-LARGEST, LARGEST)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [50, 20_003])
def test_what_is_not_finite_is_zero_and_counted(dtype: torch.dtype, d: int) -> None:
    x = drawn(2, 6, d).to(dtype)
    x[0, 1, ::7] = torch.nan
    x[0, 4, 3:5] = torch.inf
    x[1, 4, -1] = -torch.inf
    rows = Rows([Segment(x)])
    got = table(rows)
    tolerance = 1e-12 if d < FEW or dtype == torch.float64 else 2e-7
    torch.testing.assert_close(
        got, pairwise(x.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)), rtol=tolerance, atol=0
    )
    assert torch.equal(rows.nonfinite, (~x.isfinite()).sum(-1))
    assert rows.reads == 1


def test_copies_are_at_no_distance_and_cost_no_further_read() -> None:
    x = drawn(9, 20_000).float()
    x = x[[0, 1, 2, 1, 4, 5, 4, 1, 1]]
    rows = Rows([Segment(x)])
    assert torch.equal(table(rows) == 0, pairwise(x) == 0)
    assert rows.reads == 1


def test_copies_but_for_a_hair_are_told_apart() -> None:
    x = drawn(1, 20_000).float().repeat(5, 1)
    x[1, 17], x[2, 3], x[4, 5] = 1e-25, 0.0, 1e-30
    x[0, [17, 5]] = x[2, [17, 5]] = x[3, [17, 5]] = 0.0
    torch.testing.assert_close(alone(x), pairwise(x), rtol=2e-7, atol=0)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 25])
@pytest.mark.parametrize("spoilt", [0.0, torch.nan, 1e30])
def test_rows_are_the_same_to_the_bit_where_they_lie(
    n: int, spoilt: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is not finite, or too large for float32, has its stretch taken into tiles after all."""
    x = drawn(n, 9 * PANEL + 777).float()
    if spoilt:
        x[1, [5, -7]] = spoilt
    lie, lay = measuring._Look._where_they_lie, []

    def kept(look: measuring._Look, plan: Plan, part: Stretch, tables: NDArray[np.float64]) -> int:
        stop = lie(look, plan, part, tables)
        lay.append(stop > part.start)
        return stop

    monkeypatch.setattr(measuring._Look, "_where_they_lie", kept)
    rows = Rows([Segment(x)])
    got = table(rows)
    assert all(lay) == (spoilt == 0)
    monkeypatch.setattr(measuring, "WAYS", 0)
    taken = Rows([Segment(x)])
    assert torch.equal(got, table(taken))
    assert torch.equal(rows.nonfinite, taken.nonfinite)


def test_a_pair_is_the_same_to_the_bit_in_any_company() -> None:
    x = drawn(3, 23, 3 * PANEL + 5).float()
    x[1, 4] *= 1e25
    x[2, 7] = x[2, 9]
    together = alone(x)
    for run in range(3):
        assert torch.equal(together[run], alone(x[run]))
    for some in ([0, 1], [22, 4, 9, 7, 3], list(range(22, -1, -1))):
        assert torch.equal(alone(x[1][some]), together[1][some][:, some])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert torch.equal(alone(x), together)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("all_pairs", [True, False])
@pytest.mark.parametrize("d", [60, 30_001])
def test_pivots(all_pairs: bool, d: int) -> None:
    x = drawn(2, 3, 9, d).float()
    one, each = drawn(d, seed=1), drawn(2, 3, d, seed=2).float()
    rows = Rows([Segment(x)], [[one], [each]])
    got = table(rows, [1, None, 0], all_pairs=all_pairs)
    below = [each[..., None, :], torch.zeros(2, 3, 1, d), one.float().expand(2, 3, 1, d)]
    want = pairwise(torch.cat([x, *below], dim=-2))
    if not all_pairs:
        want[..., :9, :9] = torch.nan
    torch.testing.assert_close(got, want, rtol=2e-7, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "m", "d"), [(5, 3, 100), (9, 9, 30_001), (26, 7, FEW + 3)])
def test_sums_of_rows(dtype: torch.dtype, n: int, m: int, d: int) -> None:
    x, weights, extra = drawn(2, n, d).to(dtype), drawn(2, m, n, seed=3), drawn(d, seed=4).to(dtype)
    x[1, 2, 5] = torch.nan
    rows = Rows([Segment(x)], [[extra]])
    got = measured(rows, [None, 0], mix=weights)
    mixed = weights @ x.nan_to_num(nan=0.0).double()
    want = pairwise(torch.cat([mixed, torch.zeros(2, 1, d), extra.double().expand(2, 1, d)], dim=-2))
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    assert rows.nonfinite.sum() == rows.nonfinite[1, 2] == 1
    chosen = torch.nn.functional.one_hot(torch.arange(m).flip(0), n).double()
    torch.testing.assert_close(
        measured(rows, mix=chosen.expand(2, m, n)),
        pairwise(x.nan_to_num(nan=0.0)[:, :m].flip(-2)),
        rtol=1e-10,
        atol=0,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "d"), [(1, 10), (6, 400), (11, FEW + 1), (40, FEW + 70)])
@pytest.mark.parametrize("scale", [1.0, 1e25, 1e-25])
def test_the_median_as_a_pivot(dtype: torch.dtype, n: int, d: int, scale: float) -> None:
    x = (drawn(2, n, d) * (1.0 if dtype == torch.float16 else scale)).to(dtype)
    working = x.to(torch.float64 if dtype == torch.float64 or d < FEW else torch.float32)
    middle = eager.reduced(Middle(), working)
    want = pairwise(torch.cat([x.double(), middle[..., None, :]], dim=-2))
    want[..., :n, :n] = torch.nan
    got = measured(Rows([Segment(x)]), [Middle()], all_pairs=False)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=0, equal_nan=True)


def test_more_sums_than_rows() -> None:
    x, mix = drawn(3, 700).float(), drawn(8, 3).softmax(-1)
    got = measured(Rows([Segment(x)]), mix=mix)
    torch.testing.assert_close(got, pairwise(mix @ x.double()), rtol=1e-9, atol=1e-9)


def test_the_median_of_sums_as_a_pivot() -> None:
    x, weights = drawn(9, 20_001).float(), drawn(6, 9, seed=1)
    mixed = weights @ x.double()
    middle = eager.reduced(Middle(), mixed)[None]
    got = measured(Rows([Segment(x)]), [Middle()], mix=weights)
    torch.testing.assert_close(got, pairwise(torch.cat([mixed, middle])), rtol=1e-10, atol=0)


def test_an_extra_of_another_kind_is_left_to_the_slow_way() -> None:
    x = drawn(4, 10)
    assert not measurable(Rows([Segment(x.half())], [[x[0].float()]]))
    assert measurable(Rows([Segment(x.half())], [[x[0].half()]]))


def test_no_problems() -> None:
    assert alone(torch.zeros(0, 4, 10)).shape == (0, 4, 4)


def test_the_processor_is_left_as_it_was() -> None:
    alone((drawn(4, 20_000) * 1e-22).float())
    tiny = torch.full((2,), 1e-40)
    assert float((tiny + tiny)[0]) > 0


def seconds(work: Callable[[], object]) -> float:
    """Return the least of the processor's time that some calls take."""
    taken = []
    for _ in range(5):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


@pytest.mark.slow
@pytest.mark.parametrize("n", [11, 25, 51, 101])
def test_measuring_takes_less_than_a_product(n: int) -> None:
    x = drawn(n, 1_000_000).float()
    assert 1.2 * seconds(lambda: alone(x)) < seconds(lambda: x @ x.T)
