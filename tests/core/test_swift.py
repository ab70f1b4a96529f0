"""The short way gives what the long way gives, and leaves to it what is not as usual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import Parameter

import varangian as vg
from varangian.core import swift
from varangian.core.randomness import Stream
from varangian.core.run import Aggregation
from varangian.core.stages import Stage
from varangian.core.swift import at_once
from varangian.errors import InputError, ToleranceError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
RULES = [
    vg.Median(f=2),
    vg.TrimmedMean(f=2),
    vg.MeanAroundMedian(f=2),
    vg.Phocas(f=2),
    vg.SignMajority(f=2),
    vg.chain(vg.Median(f=2)),
]


@pytest.fixture(autouse=True)
def _compile(compiled: None) -> None:
    """Compile all of these."""


def drawn(n: int = 11, d: int = 1_003, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n)).to(dtype)


def same(one: Aggregation, other: Aggregation) -> None:
    """Check that two ways told the same, in the same kinds."""
    assert type(one.value) is type(other.value)
    assert one.value.dtype == other.value.dtype
    assert torch.equal(torch.as_tensor(one.value), torch.as_tensor(other.value))
    assert torch.equal(one.nonfinite, other.nonfinite)
    assert one.nonfinite.dtype == other.nonfinite.dtype
    assert (one.state, one.weights, one.reads) == (other.state, other.weights, other.reads)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_both_ways_are_the_same(rule: Stage, dtype: torch.dtype) -> None:
    x = drawn(dtype=dtype)
    broken = x.clone()
    broken[0, 3], broken[5, -1], broken[7, 500:510] = torch.nan, torch.inf, -torch.inf
    kinds: list[Any] = [x, broken, list(x), tuple(broken), Parameter(x), [Parameter(row) for row in x]]
    if dtype != torch.bfloat16:
        kinds += [x.numpy(), broken.numpy()]
    for vectors in kinds:
        short = at_once(rule, vectors)
        assert short is not None
        same(short, rule.aggregate(vectors, stream=Stream()))


def test_what_is_not_as_usual_goes_the_long_way() -> None:
    x, rule = drawn(), vg.Median(f=2)

    class Marked(torch.Tensor):
        pass

    others: list[Any] = [
        x[:, ::2],
        x[:, :5],
        x[None],
        x.to_sparse(),
        x.to("meta"),
        x.int(),
        x.as_subclass(Marked),
        [],
        [x, x],
        [x[0], x[1].double(), x[2]],
        [x[0], x[1, :-1]],
        x[:0],
        {"a": x},
        torch._neg_view(x),
        [*x[1:], torch._neg_view(x[0])],
        torch.nested.nested_tensor(list(x)),
        [torch.nested.nested_tensor([row]) for row in x],
        np.asfortranarray(x.numpy()),
        x.numpy().astype(np.dtype(np.float32).newbyteorder()),
    ]
    for vectors in others:
        assert at_once(rule, vectors) is None
    readonly = x.numpy().copy()
    readonly.flags.writeable = False
    assert at_once(rule, readonly) is None
    assert np.array_equal(rule(readonly), rule(x.numpy()))


@pytest.mark.parametrize(
    "rule",
    [vg.Krum(f=2), vg.Average(), vg.chain(vg.Bucketing(f=2, s=1), vg.Median(f=2)), vg.Condense(f=2)],
    ids=str,
)
def test_rules_of_other_kinds_go_the_long_way(rule: Stage) -> None:
    assert at_once(rule, drawn()) is None


def test_what_else_is_asked_goes_the_long_way() -> None:
    x, out = drawn(), torch.empty(1_003)
    assert vg.Median(f=2).aggregate(x, out=out).value is out
    assert torch.equal(out, vg.Median(f=2)(x))
    weighted = vg.TrimmedMean(f=2)(x, weights=torch.arange(1.0, 12.0))
    assert not torch.equal(weighted, vg.TrimmedMean(f=2)(x))


def test_too_few_vectors_are_refused() -> None:
    for _ in range(2):
        with pytest.raises(ToleranceError, match="received n = 4"):
            vg.Median(f=2)(drawn(4))


def test_a_rule_without_a_hash() -> None:
    class Loose(vg.Median):
        __hash__ = None  # type: ignore[assignment]

    assert torch.equal(Loose(f=2)(drawn()), vg.Median(f=2)(drawn()))


def test_results_share_nothing() -> None:
    x, rule = drawn(), vg.Median(f=2)
    one, other = rule.aggregate(x), rule.aggregate(x)
    one.value.zero_()
    one.nonfinite.add_(1)
    assert torch.equal(other.value, rule(x))
    assert not other.nonfinite.any()


def test_where_tensors_are_made_by_default_does_not_matter() -> None:
    x = drawn()
    with torch.device("meta"):
        found = vg.Median(f=2).aggregate(x)
    assert torch.equal(found.value, vg.Median(f=2)(x))
    assert found.nonfinite.device.type == "cpu"


def test_without_a_compiler(no_compiler: None) -> None:
    assert at_once(vg.Median(f=2), drawn()) is None


def test_who_empties_the_list_meanwhile_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = list(torch.randn(7, 5_000))
    want = vg.Median(f=2)(torch.stack(vectors))
    reduce_one = swift.reduce_one

    def emptied(*given: Any) -> Any:
        vectors.clear()
        return reduce_one(*given)

    monkeypatch.setattr(swift, "reduce_one", emptied)
    assert torch.equal(vg.Median(f=2)(vectors), want)


@pytest.mark.parametrize("rule", [vg.Median(f=1), vg.Krum(f=1)], ids=repr)
def test_what_has_no_memory_is_refused(rule: vg.Stage) -> None:
    freed, zeros, x = torch.ones(6, 4096), torch._efficientzerotensor((6, 4096)), torch.randn(5, 4096)
    part = freed[1:]
    some = [zeros, zeros[1:], freed, part, list(part)]
    freed.untyped_storage().resize_(0)
    for vectors in some:
        with pytest.raises(InputError, match="without memory"):
            rule(vectors)
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(InputError, match="without memory"):
        rule(x)
    with pytest.raises(InputError, match="without memory"):
        make_fx(rule)(x)
