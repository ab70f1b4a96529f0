"""Reading reads every byte, once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varangian.experiments.bench.floor import PIECE, read_in_strips, ways
from varangian.kernels.compiled.reading import strip_bytes

pytestmark = pytest.mark.usefixtures("compiled")


def exclusive_or(x: torch.Tensor) -> int:
    return int(np.bitwise_xor.reduce(x.numpy().view(np.uint8), axis=None))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("n", [1, 7])
def test_every_byte_is_read_once(n: int, dtype: torch.dtype, wide: bool) -> None:
    strip = strip_bytes(wide)
    columns = (PIECE // n // strip + 3) * strip // dtype.itemsize
    x = torch.randn(n, columns, dtype=torch.float32).to(dtype)
    assert read_in_strips(x, wide) == exclusive_or(x)


def test_what_strips_leave_over_is_read_by_a_strip_from_the_end() -> None:
    columns = strip_bytes(True) // 4
    x = torch.randn(3, 2 * columns + 5)
    assert read_in_strips(x, True) == exclusive_or(x[:, : 2 * columns]) ^ exclusive_or(
        x[:, -columns:].contiguous()
    )


@pytest.mark.parametrize(("columns", "count"), [(10_000, 4), (10, 1)])
def test_ways_can_all_be_gone(columns: int, count: int) -> None:
    x = torch.randn(5, columns)
    found = ways(x)
    assert len(found) == count
    for read in found.values():
        read()
    assert found["torch.sum"]() == pytest.approx(float(x.sum()), abs=1e-2)  # type: ignore[comparison-overlap]


def test_the_sum_of_a_small_table_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared(*_: object) -> None:
        raise AssertionError("a call for each piece")

    monkeypatch.setattr("varangian.experiments.bench.floor.shared", shared)
    x = torch.randn(7, 1000)
    assert ways(x)["torch.sum"]() == x.sum()


def test_without_a_compiler_one_way_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.experiments.bench.floor.available", lambda: False)
    assert list(ways(torch.randn(5, 10_000))) == ["torch.sum"]
