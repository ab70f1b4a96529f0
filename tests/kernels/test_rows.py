"""Rows: every column exactly once, in order, whatever the segments, blocks and extras."""

from __future__ import annotations

import pytest
import torch

from varangian.kernels.rows import BLOCK_ELEMENTS, Rows, Segment


def matrix(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def whole(rows: Rows) -> torch.Tensor:
    return torch.cat([block.values for block in rows.blocks()], dim=-1)


@pytest.mark.parametrize("d", [1, 63, 64, BLOCK_ELEMENTS // 5, BLOCK_ELEMENTS // 5 + 1, BLOCK_ELEMENTS])
def test_a_matrix_is_read_block_by_block(d: int) -> None:
    x = matrix(5, d)
    rows = Rows([Segment(x)])
    assert torch.equal(whole(rows), x)
    assert (rows.n, rows.d, rows.reads) == (5, d, 1)
    blocks = list(rows.blocks())
    assert rows.reads == 2
    assert [block.offset for block in blocks] == [0, *(block.end for block in blocks[:-1])]
    assert blocks[-1].end == d
    if d == BLOCK_ELEMENTS:
        assert len(blocks) >= 5


def test_segments_follow_each_other() -> None:
    x, y = matrix(4, 70_000), tuple(matrix(4, 300).double().mul(2).unbind(0))
    rows = Rows([Segment(tuple(x.unbind(0))), Segment(y)])
    blocks = list(rows.blocks())
    assert rows.d == 70_300
    assert {block.segment for block in blocks} == {0, 1}
    assert torch.equal(torch.cat([b.values for b in blocks if b.segment == 0], -1), x)
    assert torch.equal(torch.cat([b.values for b in blocks if b.segment == 1], -1), torch.stack(y))
    last = blocks[-1]
    assert (last.start, last.stop, last.offset, last.end) == (0, 300, 70_000, 70_300)


def test_an_empty_segment_between_others_is_passed_over() -> None:
    x = matrix(3, 4)
    rows = Rows([Segment(x[:, :2]), Segment(x[:, :0]), Segment(x[:, 2:])])
    assert torch.equal(whole(rows), x)


def test_extras_ride_below_the_rows() -> None:
    x, extra = matrix(3, 50_000), matrix(50_000)
    rows = Rows([Segment(x[:, :30_000]), Segment(x[:, 30_000:])], [[extra[:30_000], extra[30_000:]]])
    assert torch.equal(whole(rows), torch.cat([x, extra[None]]))
    assert rows.n == 3


def test_extras_of_a_batch() -> None:
    x, extra = matrix(2, 3, 10), matrix(2, 10)
    got = whole(Rows([Segment(x)], [[extra], [extra[0].expand(2, -1)]]))
    assert torch.equal(got[:, :3], x)
    assert torch.equal(got[:, 3], extra)
    assert torch.equal(got[:, 4], extra[0].expand(2, -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_read_in_float32(dtype: torch.dtype) -> None:
    x = matrix(3, 5, dtype=dtype)
    got = whole(Rows([Segment(x)]))
    assert got.dtype == torch.float32
    assert torch.equal(got, x.float())


def test_what_is_not_finite_is_zero_and_counted_once() -> None:
    x = matrix(4, BLOCK_ELEMENTS)
    x[1, 0], x[1, -1], x[3, 40_000] = torch.nan, torch.inf, -torch.inf
    rows = Rows([Segment(x)])
    for _ in range(2):
        assert torch.equal(whole(rows), x.nan_to_num(0.0, 0.0, 0.0))
        assert rows.nonfinite.tolist() == [0, 2, 0, 1]
    assert x[1, 0].isnan()


def test_what_is_not_finite_passes_where_asked() -> None:
    x = torch.tensor([[torch.nan, 1.0]])
    rows = Rows([Segment(x)], sanitise=False)
    assert whole(rows).isnan().any()
    assert rows.nonfinite.tolist() == [1]
