"""Programs mean what their definitions say; compiled or not, they give the same bits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from kernels.examples import DTYPES, every, grid, normal, right, some

from varangian.kernels import eager
from varangian.kernels.columns import reduced
from varangian.kernels.compiled import columns as writer
from varangian.kernels.compiled.processor import processor
from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed

STRAIGHT = processor().registers - writer.SPARE
"""The most rows that are held in registers all at once."""


def same(program: Program, values: torch.Tensor) -> None:
    """Check the compiled program against the library's operations, bit by bit (but of two zeros any)."""
    got, want = reduced(program, values), eager.reduced(program, values)
    assert got.dtype == values.dtype
    assert torch.equal(got, want.to(values.dtype)), program


@pytest.mark.parametrize("n", range(1, 8))
def test_all_programs_mean_their_definitions(n: int) -> None:
    values = torch.cat([normal(n, 30, seed=n), grid(n, 30, seed=n)], dim=-1)
    for program in every(n):
        assert right(program, values, eager.reduced(program, values)), program


@pytest.mark.parametrize("n", [*range(8, 13), 25, 28, 29, 51, 64, 65, 101, 256, 257, 300])
def test_programs_mean_their_definitions(n: int) -> None:
    for dtype in (torch.float32, torch.float64):
        values = torch.cat([normal(n, 30, dtype=dtype, seed=n), grid(n, 30, dtype=dtype, seed=n)], dim=-1)
        for program in some(n):
            assert right(program, values, eager.reduced(program, values)), program


@pytest.mark.parametrize("n", range(1, 7))
def test_all_programs_are_the_same_compiled(n: int, compiled: None) -> None:
    values = torch.cat([normal(n, 64, seed=n), grid(n, 65, seed=n)], dim=-1)
    for program in every(n):
        same(program, values)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", sorted({*range(1, 13), 25, 28, 29, STRAIGHT, STRAIGHT + 1}))
def test_programs_are_the_same_compiled(n: int, dtype: torch.dtype, compiled: None) -> None:
    values = torch.cat([normal(n, 500, dtype=dtype, seed=n), grid(n, 501, dtype=dtype, seed=n)], dim=-1)
    for program in some(n):
        for width in (1, 7, 16, 17, 1000, 1001):
            same(program, values[:, :width])


LARGE = [
    (51, torch.float32, Middle()),
    (51, torch.float64, Trimmed(10)),
    (51, torch.bfloat16, Nearest(10, Middle())),
    (51, torch.float32, Nearest(30, Trimmed(12))),
    (51, torch.float32, SignSum()),
    (64, torch.float16, Middle(lower=True)),
    (64, torch.float32, Nearest(20, Middle())),
    (65, torch.float32, Trimmed(13)),
    (65, torch.float64, Middle()),
    (101, torch.float32, Nearest(25, Middle())),
]


@pytest.mark.parametrize(("n", "dtype", "program"), LARGE, ids=str)
def test_large_programs_are_the_same_compiled(
    n: int, dtype: torch.dtype, program: Program, compiled: None
) -> None:
    values = torch.cat([normal(n, 500, dtype=dtype, seed=n), grid(n, 501, dtype=dtype, seed=n)], dim=-1)
    for width in (1, 17, 129, 1001):
        same(program, values[:, :width])


@pytest.mark.slow
@pytest.mark.parametrize("program", [Middle(), Trimmed(51), Nearest(51, Middle())], ids=str)
@pytest.mark.parametrize("n", [101, 200, eager.LONGEST_NETWORK])
def test_the_largest_programs_are_the_same_compiled(n: int, program: Program, compiled: None) -> None:
    same(replace(program, trim=n // 5) if isinstance(program, Trimmed) else program, normal(n, 1001))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_are_as_exact_as_working_precision(dtype: torch.dtype, compiled: None) -> None:
    """A mean of halves in half precision would be off by far more than its last bit."""
    values = normal(25, 500, dtype=dtype)
    for program in some(25):
        assert right(program, values, reduced(program, values)), program


@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_errors_are_relative_to_how_far_values_lie_apart(dtype: torch.dtype, compiled: None) -> None:
    """Numbers that differ in their last bits have a mean that is right to the last."""
    eps = torch.finfo(dtype).eps
    values = (1000 + 1000 * eps * (4 * normal(25, 500, dtype=torch.float64)).round()).to(dtype)
    mean = values.double().sort(0).values[5:-5].mean(0)
    assert ((reduced(Trimmed(5), values).double() - mean).abs() <= 0.51 * 1024 * eps).all()


@pytest.mark.parametrize("n", [2, 15, 25, 41, 47, 101, 300])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_values_that_are_alike_are_their_mean(n: int, dtype: torch.dtype, compiled: None) -> None:
    values = normal(1, 200, dtype=dtype).expand(n, -1).contiguous()
    liars = values.clone()
    liars[: (n - 1) // 5] = 1000 * normal((n - 1) // 5, 200, dtype=dtype, seed=1)
    for result in (reduced, eager.reduced):
        for program in some(n):
            alike = values.sign() if isinstance(program, SignSum) else values
            assert torch.equal(result(program, values), alike[0].to(result(program, values).dtype)), program
        few = (n - 1) // 5
        for program in (Middle(), Trimmed(few), Nearest(few, Middle()), Nearest(few, Trimmed(few))):
            assert torch.equal(result(program, liars).to(dtype), values[0]), program


ROBUST = [Middle(), Trimmed(1), Nearest(1, Middle()), Nearest(1, Trimmed(1)), Nearest(2, Middle())]


@pytest.mark.parametrize("n", [3, 8, 25, 29, 51])
@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_the_largest_numbers_have_a_finite_mean(n: int, dtype: torch.dtype, compiled: None) -> None:
    """All of them alike, of both signs, or of any size; the columns beside them do not notice."""
    most, width = torch.finfo(dtype).max, 200
    ordinary = normal(n, width, dtype=dtype)
    huge = ordinary.clone()
    huge[:, ::5] = most
    huge[:, 1::5] = torch.where(ordinary[:, 1::5] > 0, most, -most).to(dtype)
    huge[:, 2::5] = most * (ordinary[:, 2::5] / 4).clamp(-1, 1)
    huge[n // 2 :, 3::5] = -most
    beside = torch.arange(width) % 5 == 4
    for program in (*ROBUST, SignSum()):
        got = reduced(program, huge).to(dtype)
        assert got.isfinite().all()
        assert torch.equal(got, eager.reduced(program, huge).to(dtype))
        assert torch.equal(got[beside], reduced(program, ordinary)[beside])
        assert right(program, huge, got), program
        if not isinstance(program, SignSum):
            assert (got[::5] == most).all()


@pytest.mark.parametrize(
    ("program", "column", "want"),
    [
        (Nearest(5, Trimmed(0)), [1e-30, *[1e20] * 3, *[1.7e38] * 3], 1e20),
        (Nearest(7, Trimmed(1)), [0.0, 0.0, 1e-30, 1e20, *[1e38] * 3, *[1.7e38] * 2], 1e38),
    ],
    ids=str,
)
def test_a_centre_whose_sum_is_too_large_is_found_nevertheless(
    program: Program, column: list[float], want: float, compiled: None
) -> None:
    values = torch.tensor(column)[:, None].repeat(1, 33)
    assert torch.equal(eager.reduced(program, values).float(), torch.full((33,), want))
    same(program, values)


@pytest.mark.parametrize("n", [3, 25, 29])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_smallest_numbers_are_no_zeros(n: int, dtype: torch.dtype, compiled: None) -> None:
    tiny = torch.finfo(dtype).smallest_normal / 8
    values = (normal(n, 100) * 20).to(dtype) * tiny
    assert values.abs().max() < torch.finfo(dtype).smallest_normal * 16
    for program in (Middle(), Trimmed((n - 1) // 5), Nearest((n - 1) // 5, Middle()), SignSum()):
        same(program, values)
    assert (reduced(Trimmed(0), values) != 0).any()


def test_zeros_of_both_signs_are_zero(compiled: None) -> None:
    values = torch.zeros(25, 64)
    values[::2] = -0.0
    for program in some(25):
        assert (reduced(program, values) == 0).all()
        assert (eager.reduced(program, values) == 0).all()


def test_of_two_as_near_the_lower_is_kept(compiled: None) -> None:
    values = torch.tensor([[1.0], [-1.0], [0.0]])
    for result in (reduced, eager.reduced):
        assert float(result(Nearest(2, Middle()), values)) == 0.0
        assert float(result(Nearest(1, Middle()), values)) == -0.5
        assert float(result(Nearest(1, Middle()), torch.tensor([[1.0], [-1.0]]))) == -1.0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_of_copies_as_near_the_lower_are_kept(dtype: torch.dtype, compiled: None) -> None:
    """Half of the vectors agree, and so does the other half: whatever the two are, they are as near."""
    ends = normal(2, 500, dtype=dtype).sort(0).values
    for n in (4, 6, 8, 16):
        values = ends.repeat_interleave(n // 2, 0)
        for program in (Nearest(1, Middle()), Nearest(n // 2, Middle()), Nearest(1, Trimmed(n // 2 - 1))):
            got = reduced(program, values[torch.randperm(n)])
            assert right(Trimmed(0), values[: n - program.drop], got), program


def test_a_huge_value_that_left_leaves_no_rounding(compiled: None) -> None:
    values = torch.tensor([[-3e38], [0.1], [-3e38], [0.3], [0.2]])
    for result in (reduced, eager.reduced):
        assert float(result(Nearest(2, Middle(lower=True)), values)) == pytest.approx(0.2, rel=1e-6)


def test_a_median_is_one_of_the_values(compiled: None) -> None:
    values = normal(24, 1000)
    assert torch.equal(reduced(Middle(lower=True), values), values.median(dim=0).values)


@pytest.mark.parametrize("shape", [(5, 0), (0, 5, 2), (2, 0, 5, 3), (1, 1)])
def test_no_columns_and_no_problems(shape: tuple[int, ...], compiled: None) -> None:
    expected = shape[:-2] + shape[-1:]
    assert reduced(Middle(), torch.zeros(shape)).shape == expected
    assert eager.reduced(Middle(), torch.zeros(shape)).shape == expected


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_block_may_be_anything(dtype: torch.dtype, compiled: None) -> None:
    """A block of a batch, with strides, of which somebody wants gradients, and which must stay as it is."""
    values = normal(2, 40, 3, 9, dtype=dtype).permute(2, 0, 3, 1)[..., ::2].requires_grad_()
    before = values.detach().clone()
    for program in some(9):
        got = reduced(program, values)
        assert got.shape == (3, 2, 20)
        assert all(map(partial(right, program), before.flatten(0, 1), got.flatten(0, 1)))
        assert torch.equal(eager.reduced(program, values).to(dtype), got)
    assert torch.equal(values, before)


def test_what_is_not_finite_is_left_to_the_slow_twin(compiled: None) -> None:
    """Nothing is replaced here; it is where rows are read that it is."""
    values = normal(9, 50)
    values[2, 3], values[4, 49] = torch.nan, torch.inf
    got, want = reduced(Trimmed(1), values), eager.reduced(Trimmed(1), values)
    assert torch.equal(got.isnan(), want.isnan())
    assert torch.equal(got[~got.isnan()].float(), want[~want.isnan()].float())
    huge = values.nan_to_num(0.0, 0.0).double() * 1e200
    assert torch.equal(reduced(Trimmed(1), huge), eager.reduced(Trimmed(1), huge))


@pytest.mark.parametrize("n", [1, 2, 9, 300])
def test_without_a_compiler(n: int, no_compiler: None) -> None:
    for dtype in DTYPES:
        values = normal(n, 33, dtype=dtype)
        for program in some(n):
            assert right(program, values, reduced(program, values)), program
