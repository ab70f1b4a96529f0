"""Helpers take parts of the work, whoever asks and however often; without them, others do."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from forked import holds_in_a_fork
from kernels.examples import normal

from varangian.kernels import helpers, parts
from varangian.kernels.columns import network_of, reduce, reducible
from varangian.kernels.compiled import tasks
from varangian.kernels.compiled.columns import tile_columns
from varangian.kernels.compiled.helpers import HAD, TURN
from varangian.kernels.eager import LONGEST_NETWORK
from varangian.kernels.programs import Middle, Nearest
from varangian.kernels.rows import Rows, Segment

X = normal(11, 20_003)
WANTED = X.median(dim=0).values


@pytest.fixture(autouse=True)
def many(compiled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cut work into many parts, for three threads."""
    monkeypatch.setattr(tasks, "STRETCH", 2**11)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def median(vectors: torch.Tensor = X) -> torch.Tensor:
    """Return the median as lines make it."""
    rows, out = Rows([Segment(vectors)]), torch.full((vectors.shape[-1],), torch.nan)
    assert reducible(rows)
    reduce(Middle(), rows, [out])
    return out


def test_all_parts_are_done_again_and_again() -> None:
    """A helper that misses a call, or a call that waits for a helper in vain, would show here."""
    for _ in range(600):
        assert torch.equal(median(), WANTED)


def test_helpers_do_a_share() -> None:
    """They are threads of their own, as many as are asked for."""
    median()
    team = helpers.crew()
    if team is None:
        pytest.fail("There are no helpers here, though this is a system with semaphores.")
    assert team.grow(2) == 2
    assert sum(thread.name == "helper" for thread in threading.enumerate()) >= 2
    torch.set_num_threads(6)
    assert torch.equal(median(), WANTED)
    assert team.grow(5) == 5
    torch.set_num_threads(2)
    assert torch.equal(median(), WANTED)


def test_callers_at_once_are_served_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: median(), range(200)):
            assert torch.equal(found, WANTED)


def test_while_another_has_the_helpers() -> None:
    team = helpers.crew()
    assert team is not None
    had = ctypes.c_int64.from_address(team.board + 8 * (TURN + HAD))
    had.value = 1
    try:
        assert torch.equal(median(), WANTED)
        line = network_of(Middle(), 11, "float32").line(X.data_ptr(), WANTED.clone().data_ptr(), X.shape[1])
        assert parts.over_one(line, 11, X.stride(0) * 4) is None
    finally:
        had.value = 0
    assert torch.equal(median(), WANTED)
    assert had.value == 0


def test_a_system_without_semaphores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers.sys, "platform", "elsewhere")
    assert helpers.crew.__wrapped__() is None
    for module in (helpers, parts):
        monkeypatch.setattr(module, "crew", lambda: None)
    broken = X.clone()
    broken[4, 7777] = torch.nan
    rows, out = Rows([Segment(broken)]), torch.empty(X.shape[1])
    reduce(Middle(), rows, [out])
    broken[4, 7777] = 0
    assert torch.equal(out, broken.median(dim=0).values)
    assert rows.nonfinite.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_a_fork_gets_helpers_of_its_own() -> None:
    assert torch.equal(median(), WANTED)
    assert holds_in_a_fork(lambda: torch.equal(median(), WANTED))


def test_long_work_is_done_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", X.numel() // 5)
    assert torch.equal(median(), WANTED)
    broken = X.clone()
    broken[3, [0, 9_999, 20_002]] = torch.inf
    rows, out = Rows([Segment(broken)]), torch.empty(X.shape[1])
    reduce(Middle(), rows, [out])
    assert rows.nonfinite[3] == 3


@pytest.mark.parametrize("element", ["float16", "bfloat16", "float32", "float64"])
def test_a_helper_has_room_enough(element: str) -> None:
    for n in range(1, LONGEST_NETWORK + 1):
        assert 8 * n * tile_columns(n, element) <= helpers.ROOM


def test_every_problem_of_a_batch_and_every_segment() -> None:
    batch = normal(3, 11, 5_001)
    apart = [normal(11, width, seed=width) for width in (1, 17, 4_000, 333)]
    rows = Rows([Segment(batch)])
    out = torch.empty(3, 5_001)
    reduce(Nearest(2, Middle()), rows, [out])
    for run in range(3):
        one = torch.empty(5_001)
        reduce(Nearest(2, Middle()), Rows([Segment(batch[run])]), [one])
        assert torch.equal(out[run], one)
    outs = [torch.empty(part.shape[1]) for part in apart]
    reduce(Middle(), Rows([Segment(tuple(part.unbind(0))) for part in apart]), outs)
    for part, out in zip(apart, outs, strict=True):
        assert torch.equal(out, part.median(dim=0).values)
