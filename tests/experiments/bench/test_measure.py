"""What is measured is true: who agrees, who does not, who fails, and nobody goes first for ever."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import varangian.aggregators as ours
from varangian.errors import ParameterError, ToleranceError
from varangian.experiments.bench import (
    FLOOR,
    OURS,
    RULES,
    Case,
    Measured,
    Peer,
    as_record,
    cases,
    installed,
    measured,
    starts,
)
from varangian.experiments.bench.cases import vectors
from varangian.experiments.bench.peers import LIBRARIES, LeftOut, _few
from varangian.experiments.bench.timing import MOST_ROUNDS, alternate
from varangian.mixers import NearestNeighborMixing

CASE = Case("median", 5, 1000, "float32")


def peer(name: str, function: Callable[[Tensor], Any]) -> Peer:
    return Peer(name, "nowhere", lambda x: x, {ours.Median: lambda rule, n: function})


def fail(x: Tensor) -> Tensor:
    raise ValueError(f"no {len(x)} vectors\nplease")


def measure(case: Case, *peers: Peer) -> Measured:
    (found,) = measured([case], peers, 0.05, lambda case: None)
    return found


def test_a_peer_may_agree_or_not_or_fail() -> None:
    right = peer("right", lambda x: x.median(0).values)
    other = peer("other", lambda x: x.mean(0))
    lost = peer("lost", lambda x: x.mean(0) * torch.nan)
    short = peer("short", lambda x: x[0, 1:])
    found = measure(CASE, right, other, lost, short, peer("broken", fail))
    assert list(found.times) == [OURS, FLOOR, "torch.median", "right", "other", "lost"]
    assert (found.same("right"), found.same("other"), found.same("lost")) == (True, False, False)
    assert found.notes.pop("short").startswith("failed: RuntimeError: shape")
    assert found.notes == {"broken": "failed: ValueError: no 5 vectors"}
    assert found.reads == 1
    assert all(spent.wall > 0 for times in found.times.values() for spent in times.rounds)
    record = as_record(found, None)
    assert record["candidates"]["lost"]["apart"] is None
    assert record["candidates"][OURS]["times_ours_wall"] == 1
    assert record["candidates"][FLOOR]["times_floor_wall"] == 1


def test_the_slow_are_not_called_twice() -> None:
    called = []

    def slow(x: Tensor) -> Tensor:
        called.append(x)
        torch.randn(3_000_000).sort()
        return x.median(0).values

    found = measure(CASE, peer("slow", slow))
    assert len(called) == 1 == len(found.times["slow"].rounds)


def test_a_rule_that_gives_up_is_noted() -> None:
    found = measure(Case("smea:nodes=1", 25, 1000, "float32"))
    assert not found.times
    assert found.notes[OURS].startswith("SearchLimitError")
    assert as_record(found, None)["candidates"] == {}


@pytest.mark.parametrize("text", RULES)
def test_every_rule_of_the_grid_is_measured_beside_something(text: str) -> None:
    found = measure(Case(text, 11, 1000, "float32"))
    assert found.others
    assert not found.notes


def test_rules_that_need_a_vector_of_ones_own_get_one() -> None:
    assert OURS in measure(Case("monna", 5, 1000, "float32")).times


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_dtypes(dtype: str) -> None:
    found = measure(Case("krum", 5, 1000, dtype))
    assert OURS in found.times
    assert FLOOR in found.times


def test_all_take_turns() -> None:
    order: list[str] = []
    times = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 60.0)
    assert order[:6] == ["a", "b", "b", "a", "a", "b"]
    assert len(times["a"].rounds) == len(times["b"].rounds) == MOST_ROUNDS


def test_impossible_cases_are_refused_before_anything_is_measured() -> None:
    with pytest.raises(ToleranceError):
        cases(["median", "bulyan"], [6], [1000], ["float32"])
    with pytest.raises(ParameterError, match="one by one"):
        cases(["krum|median"], [11], [1000], ["float32"])
    with pytest.raises(ParameterError, match=r"GiB. Lower --n or --d"):
        cases(["median"], [11], [10**13], ["float32"])


@pytest.mark.parametrize(("dtype", "copies"), [("float32", 4), ("float16", 6), ("bfloat16", 6)])
def test_what_sorting_halves_takes_is_in_memory(
    dtype: str, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = Case("median", 5, 1000, dtype).bytes
    for pages, enough in ((copies * size, True), (copies * size - 1, False)):
        monkeypatch.setattr(os, "sysconf", lambda name, pages=pages: 1 if name == "SC_PAGE_SIZE" else pages)
        if enough:
            assert cases(["median"], [5], [1000], [dtype])
        else:
            with pytest.raises(ParameterError, match=f"takes {copies} times that"):
                cases(["median"], [5], [1000], [dtype])


def test_a_case_asked_for_twice_is_one() -> None:
    assert len(cases(["median"], [5, 5], [1000], ["float32"])) == 1


def test_nearly_a_fifth_lie_and_all_are_about_one_long() -> None:
    x = vectors(11, 4000, "float32")
    means = x.mean(1) * 4000**0.5
    assert int((means > 0.5).sum()) == 2 == CASE.f + 2
    assert x.norm(dim=1).min() > 0.9
    assert x.norm(dim=1).max() < 1.7


def test_first_calls_are_timed_in_processes_of_their_own() -> None:
    told, gives_up = Case("monna", 5, 1000, "float32"), Case("smea:nodes=1", 25, 1000, "float32")
    found = starts([CASE, gives_up, told])
    assert found is not None
    assert list(found) == [("median", 5, "float32"), ("monna", 5, "float32")]
    assert all(seconds > 0 for start in found.values() for seconds in start)


def test_first_calls_that_are_all_refused_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert starts([Case("smea:nodes=1", 25, 1000, "float32")]) == {}
    monkeypatch.setattr(sys, "executable", "false")
    assert starts([CASE]) is None


def test_what_lies_in_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert starts([CASE])


def test_chains_are_made_of_their_rules() -> None:
    makers = {
        NearestNeighborMixing: lambda rule, n: lambda x: x[: n - rule.f],
        ours.TrimmedMean: lambda rule, n: lambda x: x.mean(0),
    }
    kit = Peer("kit", "kit", lambda x: x, makers)
    x = vectors(11, 1000, "float32")
    work = kit.work(Case("nnm+trmean", 11, 1000, "float32").rule, x)
    assert work is not None
    assert torch.equal(work(), x[:9].mean(0))
    assert kit.work(Case("nnm+median", 11, 1000, "float32").rule, x) is None


def test_what_tries_all_subsets_is_left_out_beyond_a_few() -> None:
    maker = _few(lambda rule, n: lambda x: x)
    assert maker(ours.MinimumDiameterAveraging(f=2), 11)
    with pytest.raises(LeftOut, match="12650 subsets"):
        maker(ours.MinimumDiameterAveraging(f=4), 25)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import the_other_half", "No module named 'the_other_half'"),
        ("raise RuntimeError('an operator\\nis missing')", "an operator"),
        ("raise ValueError", "ValueError"),
    ],
)
def test_a_library_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    (tmp_path / "half_a_kit.py").write_text(text)
    monkeypatch.delitem(sys.modules, "half_a_kit", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    kits = {"half_a_kit": lambda: import_module("half_a_kit"), "no_kit": lambda: import_module("no_kit")}
    monkeypatch.setattr("varangian.experiments.bench.peers.LIBRARIES", kits)
    ((nobody, told),) = installed()
    assert nobody is None
    assert told == f"half_a_kit is installed, and cannot be used: {why}"


AGREE = ("median", "trmean", "krum", "mean", "geomed")


def test_installed_libraries_agree_with_the_rules_that_leave_no_choice() -> None:
    assert set(LIBRARIES) == {"byzfl", "byzpy", "flwr", "krum"}
    peers = [peer for peer, _ in installed() if peer]
    for text in AGREE:
        found = measure(Case(text, 11, 1000, "float32"), *peers)
        assert all(found.same(name) for name in found.apart), found.apart
        assert not found.notes
