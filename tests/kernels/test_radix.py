"""Ranks of long columns are found by bisection on bits, and are the ones that sorting finds."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.examples import right
from torch import Tensor

from varangian.kernels import eager
from varangian.kernels.columns import reduce, reduced, reducible
from varangian.kernels.compiled.radix import Span, selection_columns, span_of
from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed
from varangian.kernels.rows import WORKING_DTYPES, Rows, Segment

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SIZES = [257, 300]
PROGRAMS = [Middle(), Middle(lower=True), Trimmed(0), Trimmed(60), Trimmed(128)]


@pytest.fixture(autouse=True)
def _compile(compiled: None) -> None:
    """Compile, whatever the environment says: this is about compiled code."""


def drawn(n: int, d: int, kind: str, dtype: torch.dtype) -> Tensor:
    """Return columns that are hard to bisect, each for a reason of its own."""
    generator = torch.Generator().manual_seed(n)
    normal = torch.randn(n, d, generator=generator)
    chance = torch.rand(n, d, generator=generator)
    most = torch.finfo(dtype).max if dtype != torch.float64 else 1e140
    span = 14 if dtype == torch.float16 else 30
    made = {
        "normal": normal,
        "close": 1 + 1e-3 * normal,
        "sparse": normal * (chance < 0.3),
        "signed zeros": torch.where(chance < 0.5, -0.0, 0.0),
        "alike": torch.full((n, d), 0.1),
        "few values": (3 * normal).round(),
        "spread": normal.sign() * (span * (2 * chance - 1)).exp2(),
        "outliers": torch.where(chance < 0.45, 1e4 * normal, normal),
    }
    if kind == "extremes":
        least = torch.finfo(dtype).smallest_normal
        place = (chance * 6).long()
        return torch.tensor([most / n, -most / n, least, -least, 0.0, 1.0], dtype=dtype)[place]
    return made[kind].to(dtype)


KINDS = [
    "normal",
    "close",
    "sparse",
    "signed zeros",
    "alike",
    "few values",
    "spread",
    "outliers",
    "extremes",
]


def by_sorting(program: Program, values: Tensor) -> Tensor:
    """Return the same from the library's operations, in float64, as sums of so many rows are taken here."""
    return eager.reduced(program, values.double())


def compiled(program: Program, values: Tensor) -> Tensor:
    rows = Rows([Segment(values)])
    assert reducible(rows)
    out = values.new_empty(*values.shape[:-2], values.shape[-1])
    reduce(program, rows, [out])
    return out


def test_what_spans_ranks() -> None:
    assert span_of(Middle(), 301) == Span(150, 150)
    assert span_of(Middle(), 300) == Span(149, 150)
    assert span_of(Middle(lower=True), 300) == Span(149, 149)
    assert span_of(Trimmed(3), 300) == Span(3, 296)
    assert span_of(Nearest(3, Middle()), 300) is None
    assert span_of(SignSum(), 300) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_ranks_are_those_of_sorting(n: int, dtype: torch.dtype, kind: str) -> None:
    values = drawn(n, 90, kind, dtype)
    before = values.clone()
    for program in PROGRAMS:
        got, want = compiled(program, values), by_sorting(program, values).to(WORKING_DTYPES[dtype]).to(dtype)
        # The same numbers are added up in another order, in float64.
        if isinstance(program, Middle) or dtype != torch.float64:
            assert torch.equal(got, want), program
        else:
            torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-14 * float(values.abs().max()))
    assert torch.equal(values, before)


@settings(max_examples=30)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
    st.integers(0, 140),
)
def test_any_numbers_in_any_order(numbers: list[float], seed: int, trim: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pool = torch.tensor(numbers, dtype=torch.float64)
    values = pool[torch.randint(len(numbers), (300, 16), generator=generator)]
    for program in (Middle(), Middle(lower=True)):
        assert torch.equal(compiled(program, values), by_sorting(program, values))
    size = float(values.abs().max())
    torch.testing.assert_close(
        compiled(Trimmed(trim), values), by_sorting(Trimmed(trim), values), rtol=0, atol=1e-14 * size
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_is_not_finite_is_counted_and_read_as_zero(dtype: torch.dtype) -> None:
    values = drawn(300, 200, "normal", dtype)
    values[7, 3], values[9, 150], values[9, 151] = math.nan, math.inf, -math.inf
    rows = Rows([Segment(values)])
    out = values.new_empty(200)
    reduce(Middle(), rows, [out])
    assert torch.equal(out, by_sorting(Middle(), values.nan_to_num(0, 0, 0)).to(dtype))
    assert rows.nonfinite.nonzero().flatten().tolist() == [7, 9]
    assert rows.nonfinite[9] == 2


@pytest.mark.parametrize("n", range(eager.LONGEST_NETWORK, eager.LONGEST_NETWORK + 3))
def test_a_median_is_the_same_by_a_network_and_by_a_search(n: int) -> None:
    values = drawn(n, 90, "normal", torch.float32)
    for program in (Middle(), Middle(lower=True)):
        assert torch.equal(compiled(program, values), by_sorting(program, values).float())


@pytest.mark.usefixtures("compiled")
def test_widths_around_a_tile_batches_and_strides() -> None:
    tile = selection_columns("float32")
    for width in (1, tile - 1, tile, tile + 1, 3 * tile + 5):
        values = drawn(600, 2 * width, "normal", torch.float32).view(2, 300, 2 * width)[..., width:]
        assert torch.equal(compiled(Middle(), values), by_sorting(Middle(), values).float())
        block = reduced(Middle(), values.double())
        assert torch.equal(block, by_sorting(Middle(), values))


def test_vectors_of_their_own_and_programs_that_need_sorting() -> None:
    values = drawn(300, 500, "normal", torch.float32)
    for program in (Trimmed(100), Nearest(40, Middle()), Nearest(40, Trimmed(40)), SignSum()):
        rows = Rows([Segment(tuple(row.clone() for row in values))])
        out = torch.empty(500)
        reduce(program, rows, [out])
        want = by_sorting(program, values) if span_of(program, 300) else eager.reduced(program, values)
        assert torch.equal(out, want.float()), program


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_search_is_as_exact_as_sorting(dtype: torch.dtype) -> None:
    for kind in ("normal", "close", "outliers"):
        values = drawn(300, 60, kind, dtype)
        for program in PROGRAMS:
            assert right(program, values, compiled(program, values)), program
            assert right(program, values, eager.reduced(program, values)), program
