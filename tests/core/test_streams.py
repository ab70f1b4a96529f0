"""Vectors that are not in memory: files are let go of, blocks come one by one, and the result is the same."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import varangian as vg
from varangian.core.run import aggregate_blocks
from varangian.core.shards import InShards
from varangian.core.stages import Stage
from varangian.errors import InputError, ShapeError
from varangian.kernels import streams

RULES: list[Stage] = [
    vg.Average(),
    vg.Median(f=2),
    vg.Krum(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
    vg.Bulyan(f=2),
    vg.GeometricMedian(f=2),
    vg.CenteredClipping(f=2, radius=2.0),
    vg.ComparativeGradientElimination(f=2),
    vg.Aksel(f=2),
    vg.Condense(f=2),
    vg.DnC(f=2, coordinates=100),
    vg.Clipping(f=2, radius=2.0),
]
WIDTH = 701


@pytest.fixture(params=[False, True], ids=["finite", "not finite"])
def x(request: pytest.FixtureRequest) -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).standard_normal((11, 5003)).astype(np.float32)
    if request.param:
        drawn[3, 7], drawn[3, 4000], drawn[8, 5002] = np.nan, np.inf, -np.inf
    return drawn


def blocks(x: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    yield from (x[:, start : start + WIDTH] for start in range(0, x.shape[1], WIDTH))


@pytest.mark.parametrize("kind", ["file", "file per vector", "blocks"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_where_vectors_are_does_not_matter(
    rule: Stage, kind: str, x: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PIECE", 2**14)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    held: Any = {
        "file": mapped,
        "file per vector": list(mapped),
        "blocks": vg.InBlocks(lambda: blocks(x), shape=x.shape),
    }[kind]
    want, got = rule.aggregate(x), rule.aggregate(held)
    np.testing.assert_allclose(got.value, want.value, rtol=1e-6, atol=1e-7)
    assert torch.equal(got.nonfinite, want.nonfinite) or not rule.robust
    assert got.reads == want.reads


def test_a_private_change_of_a_mapped_file_is_not_lost(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 100_000), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[:] = 1
    assert (vg.Median(f=1)(mapped) == 1).all()
    assert (mapped == 1).all()


def test_a_copy_of_a_mapped_file_is_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 100_000), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    copy = mapped.copy()
    assert isinstance(copy, np.memmap)
    assert streams.is_mapped(mapped, torch.from_numpy(mapped))
    assert not streams.is_mapped(copy, torch.from_numpy(copy))  # or else what follows takes the process down
    assert (vg.Median(f=1)(copy) == 1).all()
    assert (copy == 1).all()


@pytest.mark.parametrize("turned", [False, True], ids=["other byte order", "backwards"])
@pytest.mark.parametrize("apart", [False, True], ids=["matrix", "vectors"])
def test_what_has_to_be_copied_from_a_file_is_no_file(
    turned: bool, apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of the copy must not be let go of: a page holds columns that are still to come."""
    monkeypatch.setattr(streams, "PIECE", 2**14)
    x = np.random.default_rng(0).standard_normal((5, 50_000)).astype(np.float32)
    np.save(tmp_path / "x.npy", x if turned else x.astype(">f4"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    held = mapped[:, ::-1] if turned else mapped
    got = np.asarray(vg.Median(f=1)(list(held) if apart else held), np.float32)
    assert np.array_equal(got, vg.Median(f=1)(np.ascontiguousarray(held, np.float32)))


def swapped(x: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    """Return vectors from a file in the other order of bytes."""
    np.save(path, x.astype(x.dtype.newbyteorder()))
    mapped: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return mapped


def test_bytes_in_another_order_are_put_right_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PIECE", 2**14)
    x = np.random.default_rng(0).standard_normal((25, 50_000)).astype(np.float32)
    mapped, rule = swapped(x, tmp_path / "x.npy"), vg.Krum(f=1)
    rule(mapped[:, :100])
    tracemalloc.start()
    got = rule(mapped)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert got.dtype == mapped.dtype
    assert np.array_equal(got, rule(x))
    assert peak < x.nbytes / 4


def test_bytes_in_another_order_can_be_attacked(x: NDArray[np.float32], tmp_path: Path) -> None:
    got, want = (vg.SignFlip()(vectors, b=2) for vectors in (swapped(x, tmp_path / "x.npy"), x))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_shards_may_come_in_blocks(rule: Stage, x: NDArray[np.float32]) -> None:
    held = vg.InBlocks(lambda: blocks(x), shape=x.shape)
    got, want = (rule.aggregate(InShards(vectors, lambda here: here)) for vectors in (held, x))
    np.testing.assert_allclose(got.value, want.value, rtol=1e-6, atol=1e-7)


def test_shards_in_blocks_are_summed() -> None:
    x = torch.randn(7, 90, generator=torch.Generator().manual_seed(0))
    here, there = x[:, :60], 10 * x[:, 60:].flip(0)
    known = (there[:, None].double() - there.double()).square().sum(-1)
    rule, asked = vg.Krum(f=1), vg.InBlocks(lambda: here.split(7, dim=1), (7, 60))
    got = rule(InShards(asked, lambda table: table + known))
    assert torch.equal(got, rule(torch.cat([here, there], dim=1))[:60])
    assert not torch.equal(got, rule(here))


def test_torch_blocks_give_torch() -> None:
    x = torch.randn(5, 30)
    assert torch.equal(vg.Median(f=1)(vg.InBlocks(lambda: x.split(7, dim=1), (5, 30))), vg.Median(f=1)(x))


def wrong() -> dict[str, tuple[Any, type[Exception], str]]:
    x = torch.randn(5, 30)
    return {
        "too few": (vg.InBlocks(lambda: [x[:, :20]], (5, 30)), ShapeError, "ended after 20 of 30"),
        "too many": (vg.InBlocks(lambda: [x, x], (5, 30)), ShapeError, "go on after 30"),
        "none": (vg.InBlocks(lambda: [], (5, 30)), InputError, "no blocks"),
        "nothing": (vg.InBlocks(lambda: None, (5, 30)), InputError, "a NoneType; .* a list"),
        "but once": (
            vg.InBlocks(partial(iter, iter([x])), (5, 30)),
            ShapeError,
            "after 0 of 30.* begin anew",
        ),
        "no second array": (vg.InBlocks(lambda: [x[:, :9], "x"], (5, 30)), InputError, "A block is a str"),
        "another n": (vg.InBlocks(lambda: [x[:, :9], x[:4, 9:]], (5, 30)), ShapeError, r"\(4, 21\)"),
        "another dtype": (vg.InBlocks(lambda: [x[:, :9], x[:, 9:].double()], (5, 30)), ShapeError, "float64"),
        "no array": (vg.InBlocks(lambda: ["x"], (5, 30)), InputError, "A block is a str"),
        "no shape": (vg.InBlocks(lambda: [x], (5,)), ShapeError, "two whole numbers"),
        "no vectors": (vg.InBlocks(lambda: [x], (0, 30)), ShapeError, "two whole numbers"),
    }


@pytest.mark.parametrize(("x", "error", "words"), wrong().values(), ids=wrong())
def test_wrong_blocks_are_refused(x: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        vg.Median(f=1)(x)


@pytest.mark.parametrize("rule", [vg.FLTrust(), vg.MoNNA(f=2)], ids=repr)
def test_a_trusted_vector_comes_with_the_blocks(rule: Stage) -> None:
    x = np.random.default_rng(1).standard_normal((12, 5003)).astype(np.float32)
    told = vg.InBlocks(lambda: blocks(x), shape=(11, 5003), pivot=True)
    assert np.array_equal(rule(told), rule(x[:11], pivot=x[11]))
    made: list[Tensor] = []
    aggregate_blocks(rule, told, lambda block, value: made.append(value), stream=vg.Stream(0))
    assert np.array_equal(torch.cat(made).numpy(), rule(told))


def test_a_wrong_pivot_in_the_blocks_is_refused() -> None:
    x = torch.ones(6, 30)
    given = vg.InBlocks(lambda: x.split(7, dim=1), (5, 30), pivot=True)
    with pytest.raises(InputError, match="leave one out"):
        vg.FLTrust()(given, pivot=x[0])
    with pytest.raises(InputError, match="uses no pivot"):
        vg.Median(f=1)(given)
    with pytest.raises(ShapeError, match=r"5 vectors and a pivot need blocks of shape \(6, columns\)"):
        vg.FLTrust()(vg.InBlocks(lambda: x[:5].split(7, dim=1), (5, 30), pivot=True))
    x[5, 9] = torch.nan
    with pytest.raises(InputError, match="pivot, which is the last row"):
        vg.FLTrust()(given)


def test_blocks_are_not_attacked() -> None:
    with pytest.raises(InputError, match="not attacked"):
        vg.SignFlip()(vg.InBlocks(lambda: [torch.ones(5, 3)], (5, 3)), b=1)


PEAK = """
import sys

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
"""

MEASURE = (
    PEAK
    + """
import numpy as np
import varangian as vg

small = np.ones((9, 20_000), np.float32)
x = np.load(sys.argv[1], mmap_mode="r")
for rule in (vg.Median(f=2), vg.MultiKrum(f=2)):
    rule(small)
before = peak()
for rule in (vg.Median(f=2), vg.MultiKrum(f=2)):
    rule(x)
print(peak() - before)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="lets go of pages as Linux does")
def test_a_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(9, 20_000_000))
    x.flush()
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    megabytes = int(told.stdout) / 1024
    assert megabytes < 76 + 160, f"{megabytes} MB for an output of 76 MB, of a file of 687 MB"


MAPPED = """
import sys
import numpy as np
import varangian as vg

def mapped():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))

rule = vg.Median(f=2)
rule(np.ones((64, 20_000), np.float32))
x = np.load(sys.argv[1], mmap_mode="r")
before = mapped()
rule(x)
print(mapped() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="lets go of pages as Linux does")
def test_nothing_of_a_file_stays_mapped(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(64, 3_000_000)).flush()
    told = subprocess.run(
        [sys.executable, "-c", MAPPED, str(path)], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) / 1024 < 16


PACE = (
    PEAK
    + """
import statistics, time
import numpy as np
import torch
import varangian as vg
from varangian.experiments.bench.floor import read_in_strips
from varangian.kernels.compiled.jit import available
from varangian.kernels.rows import Segment
from varangian.kernels.streams import of_file

def read():
    for part in of_file(Segment(torch.from_numpy(x)), [x] * len(x))():
        read_in_strips(part.sample, True)

def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

assert available()
rule = vg.Median(f=5)
rule(np.ones((25, 20_000), np.float32))
before = peak()
x = np.load(sys.argv[1], mmap_mode="r")
read()
pairs = [(seconds(lambda: rule(x)), seconds(read)) for _ in range(5)]
megabytes = (peak() - before) / 1024
out = rule(x)  # the first touch of memory is the system's time, and can take longer than reading
again = [(seconds(lambda: rule(x, out=out)), seconds(read)) for _ in range(5)]
print(*[statistics.median(ours / theirs for ours, theirs in some) for some in (pairs, again)], megabytes)
"""
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="lets go of pages as Linux does")
def test_a_file_takes_little_longer_than_to_read_it(tmp_path: Path) -> None:
    """Of six gigabytes, into new memory or old."""
    path, width, block = tmp_path / "x.npy", 60_000_000, np.random.default_rng(0).standard_normal(1_500_000)
    with path.open("wb") as file:
        what = {"descr": "<f4", "fortran_order": False, "shape": (25, width)}
        np.lib.format.write_array_header_1_0(file, what)
        for row in range(25):
            for part in range(40):
                np.roll(block, 7919 * row + part).astype(np.float32).tofile(file)
    try:
        told = subprocess.run(
            [sys.executable, "-c", PACE, str(path)], capture_output=True, text=True, check=True
        )
    finally:
        path.unlink()
    new, old, megabytes = map(float, told.stdout.split())
    assert new < 1.5
    assert old < 1.2
    assert megabytes - 4 * width / 2**20 < 150
