"""What the system is told about large vectors, and what it makes of it."""

import mmap
import resource
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.kernels import memory
from varangian.kernels.memory import LARGE, fresh

SOME = torch.zeros(1)


def faults_in(work: Callable[[], object]) -> int:
    """Return how many pages the system makes meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64], ids=str)
def test_memory_is_like_what_it_is_beside(kind: torch.dtype) -> None:
    for shape in ((3,), (2, 0), (LARGE // kind.itemsize,), (2, LARGE // kind.itemsize)):
        made = fresh(SOME.to(kind), *shape)
        assert (made.dtype, made.shape, made.is_contiguous()) == (kind, shape, True)
        assert fresh(SOME, *shape, dtype=kind).dtype == kind
        made.fill_(3)
        assert made.sum(dtype=torch.float64) == 3 * made.numel()


def test_memory_is_where_a_tensor_is() -> None:
    assert fresh(SOME.to("meta"), LARGE).device.type == "meta"


@pytest.mark.skipif(sys.platform != "linux", reason="asks for pages as Linux does")
def test_the_pages_of_a_large_result_are_there_before_it_is_written() -> None:
    made = fresh(SOME, LARGE)
    assert faults_in(lambda: made.fill_(1)) < 16  # of 64 large pages, or 32768 small ones


@pytest.mark.skipif(sys.platform != "linux", reason="asks for pages as Linux does")
@pytest.mark.parametrize("array", [False, True], ids=["tensor", "array"])
@pytest.mark.parametrize(
    "rule",
    [vg.Median(f=1), vg.Krum(f=1), vg.chain(vg.NearestNeighborMixing(f=1), vg.Median(f=1))],
    ids=str,
)
def test_a_large_result_is_in_large_pages(
    rule: vg.Stage, monkeypatch: pytest.MonkeyPatch, *, array: bool
) -> None:
    """As far as the system has any: what is free may lie in small pieces."""
    asked, advise = list[tuple[int, int, int]](), memory._advise

    def noted(part: Tensor, advice: int) -> None:
        asked.append((part.data_ptr(), part.nbytes, advice))
        advise(part, advice)

    monkeypatch.setattr(memory, "_advise", noted)
    x = torch.arange(5.0)[:, None] + torch.arange(LARGE // 4)
    made = torch.as_tensor(rule(x.numpy() if array else x))
    for advice in (mmap.MADV_HUGEPAGE, memory.POPULATE_WRITE):
        assert (made.data_ptr(), LARGE, advice) in asked
    asked.clear()
    rule(x[:, : LARGE // 8])
    assert not asked
