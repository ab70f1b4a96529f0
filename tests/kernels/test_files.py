"""Rows of mapped files are found in the files, read from them at once, or else where they are mapped."""

from __future__ import annotations

import mmap
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import varangian as vg
from varangian.core.inputs import read
from varangian.core.points import Points
from varangian.core.run import Call, _write
from varangian.kernels import pages
from varangian.kernels.files import AROUND, Filed, is_dear, opened
from varangian.kernels.rows import Segment
from varangian.kernels.streams import Streamed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")

N, D = 7, 80_011
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture
def mapped(compiled: None, tmp_path: Path) -> np.memmap:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((N, D)).astype(np.float32))
    found: np.memmap = np.load(tmp_path / "x.npy", mmap_mode="r")
    return found


def lines(array: NDArray[np.float32]) -> list[torch.Tensor]:
    return list(read(array).segments[0].vectors)


@pytest.mark.parametrize(
    "part", [slice(None), slice(3, 5), (slice(2, None), slice(5, 9000)), slice(None, None, 2)], ids=str
)
def test_rows_are_where_the_file_has_them(part: slice | tuple[slice, slice], mapped: np.memmap) -> None:
    array = mapped[part]
    with opened(lines(array), [array] * len(array)) as filed:
        assert filed is not None
        for row, (handle, place) in zip(array, filed.origins, strict=True):
            assert os.pread(handle, row.nbytes, place) == row.tobytes()
        handles = set(filed.origins[:, 0].tolist())
    for handle in handles:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


def test_files_may_be_many(mapped: np.memmap, tmp_path: Path) -> None:
    for place, row in enumerate(mapped):
        np.save(tmp_path / f"{place}.npy", row)
    arrays = [np.load(tmp_path / f"{place}.npy", mmap_mode="r") for place in range(N)]
    with opened([torch.from_numpy(array) for array in arrays], arrays) as filed:
        assert filed is not None
        assert len({*filed.origins[:, 0].tolist()}) == N


def test_a_file_that_is_not_the_one_that_is_mapped_is_not_read(mapped: np.memmap, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros((N, D), np.float32))
    (tmp_path / "y.npy").rename(tmp_path / "x.npy")
    with opened(lines(mapped), [mapped] * N) as filed:
        assert filed is None


def test_a_file_that_is_gone_is_not_read(mapped: np.memmap, tmp_path: Path) -> None:
    (tmp_path / "x.npy").unlink()
    with opened(lines(mapped), [mapped] * N) as filed:
        assert filed is None


def test_rows_with_gaps_are_not_read(mapped: np.memmap) -> None:
    with opened(lines(mapped[:, ::2]), [mapped] * N) as filed:
        assert filed is None


def test_nothing_is_opened_without_a_compiler(mapped: np.memmap, no_compiler: None) -> None:
    with opened(lines(mapped), [mapped] * N) as filed:
        assert filed is None


RULES = [
    vg.Median(f=2),
    vg.MultiKrum(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
]


@pytest.mark.parametrize("readable", [True, False], ids=["read", "not to be read"])
@pytest.mark.parametrize("wild", [False, True], ids=["finite", "not finite"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_what_the_file_holds_is_what_counts(
    rule: vg.Rule, dtype: torch.dtype, wild: bool, readable: bool, compiled: None, tmp_path: Path
) -> None:
    """What is mapped has other numbers, so that it shows which of the two was read."""
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(0)).to(dtype)
    if wild:
        x[1, 7] = x[1, D - 1] = torch.inf
    file = tmp_path / "x"
    file.write_bytes(x.view(torch.uint8).numpy().tobytes())
    with file.open("rb") as stream:
        handle = stream.fileno() if readable else -1
        origins = np.array([(handle, row * D * x.itemsize) for row in range(N)])
        other = x if wild or not readable else torch.zeros_like(x)  # what is not finite is looked at there
        segment = replace(Segment(other), filed=Filed(origins, x.itemsize))
        outputs = [torch.empty(D, dtype=dtype)]
        rows = Streamed(lambda: iter([segment]), Segment(other))

        points = rule.advance(Points(N, [], rows=rows), Call())
        _write(points, outputs, many=False)
    want = rule.aggregate(x)
    assert torch.equal(outputs[0], want.value)
    assert torch.equal(rows.nonfinite, want.nonfinite)


def test_pages_that_come_one_by_one_are_dear() -> None:
    memory = mmap.mmap(-1, 64 * AROUND, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    line = torch.frombuffer(memory, dtype=torch.float32)
    line[:: AROUND // 4] = 1
    assert not is_dear(line)
    memory.madvise(mmap.MADV_DONTNEED)
    assert is_dear(line)


def test_what_is_written_to_is_made_before() -> None:
    memory = mmap.mmap(-1, 64 * AROUND + 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    line = torch.frombuffer(memory, dtype=torch.float32)[5:-3]
    pages._make([line], pages.threading.Event())
    assert not is_dear(line)
    assert (line == 0).all()
