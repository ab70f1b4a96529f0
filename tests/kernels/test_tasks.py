"""Stretches cover every column once; lanes change no order; addresses are those of the rows."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernels.examples import normal

from varangian.kernels.compiled import tasks
from varangian.kernels.compiled.tasks import Scratch, Stretch, addresses, carry_out, name_of, stretches
from varangian.kernels.lanes import lanes
from varangian.kernels.rows import Rows, Segment


@pytest.fixture
def two() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def rows_of(n: int, widths: list[int], batch: tuple[int, ...] = ()) -> Rows:
    return Rows([Segment(torch.zeros(1).expand(*batch, n, width)) for width in widths])


@given(
    n=st.integers(1, 300),
    parts=st.lists(
        st.tuples(st.integers(0, 3000), st.sampled_from([1, 4, 16, 64, 128])), min_size=1, max_size=3
    ),
    batch=st.sampled_from([(), (1,), (3,), (2, 2), (0,)]),
    numbers=st.sampled_from([1, 2**8, 2**12, 2**20]),
)
def test_every_column_once(
    n: int, parts: list[tuple[int, int]], batch: tuple[int, ...], numbers: int
) -> None:
    widths, tiles = [width for width, _ in parts], [tile for _, tile in parts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "STRETCH", numbers)
        found = list(stretches(rows_of(n, widths, batch), tiles))
    runs = int(torch.Size(batch).numel())
    left = {(segment, run): 0 for segment in range(len(parts)) for run in range(runs)}
    assert found == sorted(found)
    for segment, run, start, stop in found:
        width, tile = parts[segment]
        assert start == left[segment, run]
        assert start % tile == 0
        assert min(tile, width) <= stop - start
        share = -(-width // (tasks.EACH * lanes()))
        assert (stop - start) * n < max(numbers, n * (share + tile)) + n * tile
        left[segment, run] = stop
    assert all(stop == widths[segment] for (segment, _), stop in left.items())


def test_a_long_row_is_cut(two: None) -> None:
    assert len(list(stretches(rows_of(25, [10**6]), [16]))) == tasks.EACH * lanes()
    assert len(list(stretches(rows_of(25, [10**5]), [16]))) == 25 * 10**5 // tasks.STRETCH + 1
    assert list(stretches(rows_of(3, [5]), [16])) == [Stretch(0, 0, 0, 5)]


@pytest.mark.parametrize("count", [0, 1, 7, 400])
def test_results_come_in_order(count: int, two: None) -> None:
    parts = [Stretch(0, 0, 10_000 * i, 10_000 * (i + 1)) for i in range(count)]
    assert carry_out(lambda part: part.start, parts, 30) == [part.start for part in parts]
    torch.set_num_threads(1)
    assert carry_out(lambda part: part.start, parts, 30) == [part.start for part in parts]


def test_large_stretches_are_shared_out(two: None) -> None:
    meeting = threading.Barrier(2, timeout=10)
    parts = [Stretch(0, 0, 0, tasks.STRETCH)] * 2
    carry_out(lambda _: meeting.wait(), parts, 1)


def test_small_stretches_are_not_worth_a_thread(two: None) -> None:
    parts = [Stretch(0, run, 0, 1000) for run in range(50)]
    assert set(carry_out(lambda _: threading.current_thread(), parts, 10)) == {threading.current_thread()}


def test_a_failure_is_told(two: None) -> None:
    def fail(part: Stretch) -> None:
        raise ValueError(part.start)

    with pytest.raises(ValueError, match="0"):
        carry_out(fail, [Stretch(0, 0, 0, 2**20), Stretch(0, 0, 2**20, 2**21)], 2)


def test_scratch_is_a_threads_own() -> None:
    def room(size: int) -> int:
        with Scratch(size) as start:
            ctypes.memset(start, 1, size)
            return start

    here = room(1000)
    assert here % 64 == 0
    assert room(100) == here
    room(10**6)
    elsewhere: list[int] = []
    thread = threading.Thread(target=lambda: elsewhere.append(room(10**6)))
    thread.start()
    thread.join()
    assert abs(elsewhere[0] - room(10**6)) >= 10**6


def test_who_comes_between_works_elsewhere() -> None:
    with Scratch(1000) as outer:
        ctypes.memset(outer, 7, 1000)
        for size in (10, 10**6):
            with Scratch(size) as inner:
                assert not outer <= inner < outer + 1000
                ctypes.memset(inner, 1, size)
        assert ctypes.string_at(outer, 1000) == b"\x07" * 1000
    with Scratch(1000) as again:
        assert again == outer


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_addresses_are_those_of_the_rows(dtype: torch.dtype) -> None:
    x = normal(2, 3, 8, 20, dtype=dtype)
    for tensor in (
        x,
        x[:1],
        x[:, 1:, ::3, 5:],
        x.transpose(0, 2),
        x[:, :1].expand(-1, 7, -1, -1),
        x[:, :, :1].expand(-1, -1, 9, -1),
    ):
        want = [[row.data_ptr() for row in run] for runs in tensor for run in runs]
        assert addresses(tensor).tolist() == want
    assert addresses(x[1, 2]).tolist() == [[row.data_ptr() for row in x[1, 2]]]
    assert addresses(x[:0]).shape == (0, 8)


def test_addresses_of_vectors() -> None:
    vectors = [normal(5), normal(9)[3:8], normal(5).double()]
    assert addresses(vectors).tolist() == [[vector.data_ptr() for vector in vectors]]


def test_names() -> None:
    assert [name_of(dtype) for dtype in (torch.float16, torch.bfloat16)] == ["float16", "bfloat16"]
