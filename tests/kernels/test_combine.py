"""Compiled weighted sums, alone and in front of a column program, against float64."""

from __future__ import annotations

import pytest
import torch

from varangian.kernels import eager
from varangian.kernels.combine import combined, reduced_mix
from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed
from varangian.kernels.rows import FEW, LARGEST, Rows, Segment

pytestmark = pytest.mark.usefixtures("compiled")

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = [(1, 1, 1), (3, 1, 7), (5, 5, 513), (11, 8, 5000), (26, 13, 70_001)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shares(*shape: int, seed: int = 5) -> torch.Tensor:
    weights = drawn(*shape, seed=seed).abs() * (drawn(*shape, seed=seed + 1) > -0.5) + 1e-3
    return weights / weights.sum(-1, keepdim=True)


def sums(rows: Rows, weights: torch.Tensor) -> torch.Tensor:
    outputs = [
        torch.full((*rows.batch, weights.shape[-2], segment.width), 7.0).to(segment.sample.dtype)
        for segment in rows.segments
    ]
    combined(rows, weights, outputs)
    return torch.cat(outputs, dim=-1)


def of_program(program: Program, rows: Rows, weights: torch.Tensor) -> torch.Tensor:
    outputs = [
        torch.full((*rows.batch, segment.width), 7.0).to(segment.sample.dtype) for segment in rows.segments
    ]
    reduced_mix(program, rows, weights, outputs)
    return torch.cat(outputs, dim=-1)


def tolerance(dtype: torch.dtype) -> float:
    return 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "m", "d"), SHAPES)
def test_sums(dtype: torch.dtype, n: int, m: int, d: int) -> None:
    x, weights = drawn(2, n, d).to(dtype), shares(2, m, n)
    got = sums(Rows([Segment(x)]), weights)
    assert got.dtype == dtype
    eps = tolerance(dtype)
    torch.testing.assert_close(got.double(), weights @ x.double(), rtol=eps, atol=eps)


def test_a_lone_row_comes_out_to_the_bit() -> None:
    x = drawn(6, 3001).float()
    x[3, :4] = torch.tensor([-0.0, 1e-42, 3e38, 0.0])
    rows = Rows([Segment(x)])
    for _ in range(2):  # the first time every row is looked at
        got = sums(rows, torch.eye(6, dtype=torch.float64)[3:4])
        assert torch.equal(got.view(torch.int32), x[3:4].view(torch.int32))


def test_the_same_to_the_bit_in_any_company() -> None:
    x, weights = drawn(3, 9, 40_000).float(), shares(3, 5, 9)
    together = sums(Rows([Segment(x)]), weights)
    for run in range(3):
        assert torch.equal(sums(Rows([Segment(x[run])]), weights[run]), together[run])
        for output in range(5):
            alone = sums(Rows([Segment(tuple(x[run]))]), weights[run, output : output + 1])
            torch.testing.assert_close(alone[0], together[run, output], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_sum_is_that_of_many_to_the_bit(dtype: torch.dtype) -> None:
    """One goes straight where it belongs, several by way of a tile.

    Rows that weigh nothing are looked at in the first read, and then left out.
    """
    x, weights = drawn(2, 9, 5003).to(dtype), shares(2, 1, 9)
    weights[0, 0, 3:6] = 0
    many = Rows([Segment(x)])
    alone = Rows([Segment(x)])
    for _ in range(2):
        assert torch.equal(sums(alone, weights), sums(many, weights.expand(2, 3, 9))[:, 2:])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("column", [0, 300, 4095, 4999])
@pytest.mark.parametrize("weight", [0.2, 0.0])
def test_one_sum_of_what_is_not_finite(value: float, column: int, weight: float) -> None:
    x, weights = drawn(5, 5000).float(), torch.full((1, 5), 0.2, dtype=torch.float64)
    x[3, column], weights[0, 3] = value, weight
    for sanitise in (True, False):
        rows = Rows([Segment(x)], sanitise=sanitise)
        got = sums(rows, weights)
        assert rows.nonfinite.tolist() == [0, 0, 0, 1, 0]
        clean = sanitise or not weight
        want = weights @ (x.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) if clean else x).double()
        torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_extras_segments_and_shared_weights() -> None:
    x, extra = drawn(4, 6, 900).float(), drawn(4, 900, seed=1).float()
    rows = Rows([Segment(x[..., :101]), Segment(x[..., 101:].double())], [[extra[:, :101], extra[:, 101:]]])
    weights = shares(2, 7)
    got = sums(rows, weights)
    want = weights @ torch.cat([x, extra[:, None]], dim=1).double()
    torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sanitise", [True, False])
def test_what_is_not_finite(dtype: torch.dtype, sanitise: bool) -> None:
    x = drawn(5, 700).to(dtype)
    x[1, ::3], x[4, 5] = torch.nan, -torch.inf
    weights = torch.tensor([[0.5, 0.0, 0.5, 0.0, 0.0], [0.25, 0.25, 0.0, 0.25, 0.25]], dtype=torch.float64)
    rows = Rows([Segment(x)], sanitise=sanitise)
    got = sums(rows, weights)
    assert rows.nonfinite.tolist() == [0, 234, 0, 0, 1]
    assert bool(got[1].isfinite().all()) == sanitise
    if sanitise:
        eps = tolerance(dtype)
        want = weights @ x.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).double()
        torch.testing.assert_close(got.double(), want, rtol=eps, atol=eps)
    clean = sums(rows, weights[:1])
    assert clean.isfinite().all()
    assert rows.nonfinite.tolist() == [0, 234, 0, 0, 1]


def test_no_weight_at_all_is_zero() -> None:
    rows = Rows([Segment(drawn(3, 600).float())])
    assert torch.equal(sums(rows, torch.zeros(1, 3, dtype=torch.float64)), torch.zeros(1, 600))


def test_an_outlier_without_weight_leaves_no_rounding() -> None:
    x = drawn(4, 800).float()
    x[2] = 3e38
    weights = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(
        sums(Rows([Segment(x)]), weights).double(), weights @ x.double(), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("program", [Middle(), Trimmed(2), Nearest(2, Middle()), SignSum()], ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "m", "d"), [(7, 7, 40), (15, 8, 3001), (40, 37, 9000), (70, 70, 2000)])
def test_programs_on_sums(program: Program, dtype: torch.dtype, n: int, m: int, d: int) -> None:
    x, weights = drawn(2, n, d).to(dtype), shares(2, m, n)
    got = of_program(program, Rows([Segment(x)]), weights)
    mixed = weights @ x.double()
    mixed = mixed if dtype == torch.float64 or d < FEW else mixed.float()
    eps = tolerance(dtype)
    torch.testing.assert_close(got.double(), eager.reduced(program, mixed).double(), rtol=eps, atol=eps)


def test_a_program_on_chosen_rows() -> None:
    x = drawn(2, 9, 5001).float()
    x[0, 3, 7] = torch.nan
    chosen = torch.tensor([[3, 1, 8, 5, 0], [2, 7, 6, 5, 3]])
    weights = torch.nn.functional.one_hot(chosen, 9).double()
    rows = Rows([Segment(x)])
    want = torch.stack([eager.reduced(Trimmed(1), x[k].nan_to_num()[chosen[k]].double()) for k in range(2)])
    for _ in range(2):
        assert torch.equal(of_program(Trimmed(1), rows, weights), want.float())
    assert rows.nonfinite[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_the_largest_numbers() -> None:
    most = torch.finfo(torch.float32).max
    x = torch.tensor([[most], [-most], [most], [most], [-most]]).repeat(1, 20)
    assert torch.equal(of_program(Middle(), Rows([Segment(x)]), torch.eye(5, dtype=torch.float64)), x[0])
    wide = torch.full((5, 20), 1e300, dtype=torch.float64)
    got = of_program(Trimmed(1), Rows([Segment(wide)]), torch.full((5, 5), 0.2, dtype=torch.float64))
    torch.testing.assert_close(got, torch.full((20,), LARGEST, dtype=torch.float64))


@pytest.mark.parametrize("program", [Middle(), Trimmed(2), Nearest(2, Middle()), Nearest(3, Trimmed(2))])
def test_sums_too_large_for_float32(program: Program) -> None:
    """They are made again, on smaller numbers; the columns beside do not notice."""
    x = drawn(2, 9, FEW).float()
    huge, most = x.clone(), torch.finfo(torch.float32).max
    huge[..., ::7] = torch.where(x[..., ::7] > 0.3, most, -most)
    same, mix = torch.eye(9, dtype=torch.float64).expand(2, 9, 9), shares(2, 9, 9)
    assert torch.equal(of_program(program, Rows([Segment(huge)]), same), eager.reduced(program, huge))
    got, ordinary = (of_program(program, Rows([Segment(rows)]), mix) for rows in (huge, x))
    beside = torch.arange(FEW) % 7 != 0
    assert got.isfinite().all()
    assert torch.equal(got[:, beside], ordinary[:, beside])


def test_no_columns_and_no_problems() -> None:
    assert sums(Rows([Segment(torch.zeros(4, 0))]), shares(2, 4)).shape == (2, 0)
    assert sums(Rows([Segment(torch.zeros(0, 4, 9))]), torch.zeros(0, 2, 4).double()).shape == (0, 2, 9)
