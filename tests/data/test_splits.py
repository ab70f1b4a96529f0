"""Splits: a partition, nobody empty, the same stream the same deal."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from varangian.core.randomness import Stream
from varangian.data import (
    IID,
    SPLITS,
    Dirichlet,
    ExplicitSizes,
    GammaSimilarity,
    Pooled,
    SortedBlocks,
    SortedShards,
    Split,
    parse_split,
)
from varangian.errors import ParameterError, UnknownNameError

LABELS = torch.arange(1000) % 10
WHOLE = (IID(), Dirichlet(0.3), SortedShards(), SortedShards(1), GammaSimilarity(0.5))


Deal = tuple[type[Split], tuple[object, ...], list[int], int]


@st.composite
def deals(draw: st.DrawFn) -> Deal:
    """Draw a split's class and parameters, with labels and workers that it accepts."""
    workers = draw(st.integers(1, 12))
    per_worker = draw(st.integers(1, 3))
    labels = draw(st.lists(st.integers(0, 5), min_size=workers * per_worker, max_size=80))
    sizes = draw(st.lists(st.integers(1, max(len(labels) // workers, 1)), min_size=workers, max_size=workers))
    alpha = draw(st.floats(0, 1e300, exclude_min=True))
    kind, parameters = draw(
        st.sampled_from(
            [
                (IID, ()),
                (Dirichlet, (alpha,)),
                (SortedShards, (per_worker,)),
                (GammaSimilarity, (draw(st.floats(0, 1)),)),
                (ExplicitSizes, (tuple(sizes),)),
                (ExplicitSizes, ((1 / workers,) * workers,)),
            ]
        )
    )
    return kind, parameters, labels, workers


@given(deals(), st.integers(0, 2**40))
def test_everything_is_dealt_once(deal: Deal, seed: int) -> None:
    split, labels, workers = deal[0](*deal[1]), torch.tensor(deal[2]), deal[3]
    shards = split.assign(labels, workers, Stream(seed))
    assert len(shards) == workers
    assert all(shard.dtype == torch.int64 and len(shard) > 0 for shard in shards)
    dealt = torch.cat(shards).sort().values
    if isinstance(split, ExplicitSizes) and isinstance(split.sizes[0], int):
        assert [len(shard) for shard in shards] == list(split.sizes)
        assert len(dealt.unique()) == len(dealt)
        assert 0 <= dealt.min() <= dealt.max() < len(labels)
    else:
        assert torch.equal(dealt, torch.arange(len(labels)))


@given(st.integers(1, 12), st.integers(12, 50))
def test_pooled_deals_everything_to_everyone(workers: int, samples: int) -> None:
    shards = Pooled().assign(torch.zeros(samples, dtype=torch.int64), workers, Stream(1))
    assert len(shards) == workers
    assert all(torch.equal(shard, torch.arange(samples)) for shard in shards)
    assert parse_split("pooled") == Pooled()
    with pytest.raises(ParameterError, match="pooled"):
        parse_split("pooled:2")


@given(deals(), st.integers(0, 2**40))
def test_the_same_stream_deals_the_same(deal: Deal, seed: int) -> None:
    split, labels, workers = deal[0](*deal[1]), torch.tensor(deal[2]), deal[3]
    before = labels.clone(), torch.random.get_rng_state()
    one, other = (split.assign(labels, workers, Stream(seed)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(labels, before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.parametrize("split", [split for split in WHOLE if split != SortedShards(1)], ids=repr)
def test_another_stream_deals_otherwise(split: Split) -> None:
    one, other = (split.assign(LABELS, 5, Stream(1).at("split", run=run)) for run in range(2))
    assert any(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_one_shard_per_worker_is_contiguous_and_in_order() -> None:
    shards = SortedShards(1).assign(LABELS, 5, Stream(1))
    assert [LABELS[shard].unique().tolist() for shard in shards] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_two_shards_hold_few_classes() -> None:
    shards = SortedShards(2).assign(LABELS, 5, Stream(1))
    assert all(len(LABELS[shard].unique()) <= 2 for shard in shards)


def test_dirichlet_goes_from_one_class_to_all() -> None:
    skew = []
    for alpha in (0.01, 1.0, 100.0, 1e9):
        shards = Dirichlet(alpha).assign(LABELS, 10, Stream(1))
        counts = torch.stack([LABELS[shard].bincount(minlength=10) for shard in shards])
        skew.append((counts.double() / 100 - 0.1).square().mean().item())
    assert skew == sorted(skew, reverse=True)
    assert skew[0] > 0.06
    assert skew[-1] < 1e-6


def test_blocks_give_the_holders_everything_and_the_others_a_share_of_all() -> None:
    shards = SortedBlocks(4).assign(LABELS, 6, Stream(1))
    held = torch.cat(shards[:4])
    assert torch.equal(LABELS[held], LABELS.sort().values)
    assert sorted(held.tolist()) == list(range(len(LABELS)))
    for others in shards[4:]:
        assert len(others) == len(shards[0])
        assert len(set(others.tolist())) == len(others)
        assert len(LABELS[others].unique()) > len(LABELS[shards[0]].unique())
    assert not torch.equal(shards[4], shards[5])
    again = SortedBlocks(4).assign(LABELS, 6, Stream(1))
    assert all(torch.equal(one, two) for one, two in zip(shards, again, strict=True))


def test_as_many_blocks_as_workers_are_sorted_shards() -> None:
    blocks, shards = (
        SortedBlocks(5).assign(LABELS, 5, Stream(1)),
        SortedShards(1).assign(LABELS, 5, Stream(1)),
    )
    assert all(torch.equal(one, two) for one, two in zip(blocks, shards, strict=True))


@pytest.mark.parametrize("alpha", [5e-324, 1e-100, 1e-3, 1e300])
def test_dirichlet_leaves_nobody_empty(alpha: float) -> None:
    shards = Dirichlet(alpha).assign(torch.zeros(50, dtype=torch.int64), 50, Stream(1))
    assert [len(shard) for shard in shards] == [1] * 50


def test_similarity_is_a_share_of_each() -> None:
    sorted_only = GammaSimilarity(0.0).assign(LABELS, 10, Stream(1))
    assert all(len(LABELS[shard].unique()) == 1 for shard in sorted_only)
    half = GammaSimilarity(0.5).assign(LABELS, 10, Stream(1))
    own = [LABELS[shard].bincount(minlength=10).max().item() for shard in half]
    assert all(40 <= count <= 70 for count in own)
    assert [len(shard) for shard in half] == [100] * 10
    mixed = GammaSimilarity(1.0).assign(LABELS, 10, Stream(1))
    assert all(len(LABELS[shard].unique()) == 10 for shard in mixed)


def test_fractions_are_of_all_samples() -> None:
    shards = ExplicitSizes((0.5, 0.25, 0.1)).assign(LABELS, 3, Stream(1))
    assert [len(shard) for shard in shards] == [500, 250, 100]
    thirds = ExplicitSizes((1 / 3,) * 3).assign(LABELS, 3, Stream(1))
    assert sum(len(shard) for shard in thirds) == 1000


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Dirichlet(0.0), "positive"),
        (lambda: Dirichlet(-1.0), "positive"),
        (lambda: Dirichlet(math.nan), "positive"),
        (lambda: Dirichlet(math.inf), "finite"),
        (lambda: SortedShards(0), "at least 1"),
        (lambda: SortedBlocks(0), "at least 1"),
        (lambda: SortedBlocks(6).assign(LABELS, 5, Stream()), "at most 5"),
        (lambda: GammaSimilarity(-0.1), r"0\.\.1"),
        (lambda: GammaSimilarity(1.1), r"0\.\.1"),
        (lambda: GammaSimilarity(math.nan), r"0\.\.1"),
        (lambda: ExplicitSizes(()), "whole numbers"),
        (lambda: ExplicitSizes((1, 0.5)), "whole numbers"),
        (lambda: ExplicitSizes((True, False)), "whole numbers"),
        (lambda: ExplicitSizes((0, 5)), "positive"),
        (lambda: ExplicitSizes((0.5, math.nan)), "positive"),
        (lambda: ExplicitSizes((0.5, 0.6)), "add up to 1.1"),
        (lambda: IID().assign(LABELS, 0, Stream()), "at least 1"),
        (lambda: IID().assign(LABELS[:3], 4, Stream()), "at most 3 workers"),
        (lambda: SortedShards(3).assign(LABELS[:10], 5, Stream()), "per_worker <= 2"),
        (lambda: ExplicitSizes((1, 2)).assign(LABELS, 3, Stream()), "2 sizes for 3 workers"),
        (lambda: ExplicitSizes((600, 600)).assign(LABELS, 2, Stream()), "asks for 1200"),
        (lambda: ExplicitSizes((0.5, 1e-5)).assign(LABELS, 2, Stream()), "raise its fraction"),
    ],
)
def test_impossible_parameters_say_the_fix(make: object, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("iid", IID()),
        ("IID", IID()),
        ("dirichlet:0.3", Dirichlet(0.3)),
        ("shards", SortedShards(2)),
        ("shards:3", SortedShards(3)),
        ("blocks:20", SortedBlocks(20)),
        ("similarity:0.5", GammaSimilarity(0.5)),
        ("sizes:1,2,3", ExplicitSizes((1, 2, 3))),
        ("sizes:0.5,0.25", ExplicitSizes((0.5, 0.25))),
        ("sizes:5e-1,1", None),
    ],
)
def test_splits_are_spelled(text: str, split: Split | None) -> None:
    if split is None:
        with pytest.raises(ParameterError, match="at most 1"):
            parse_split(text)
    else:
        assert parse_split(text) == split


@pytest.mark.parametrize(
    "text",
    [
        "iid:3",
        "dirichlet",
        "dirichlet:",
        "dirichlet:x",
        "dirichlet:-1",
        "shards:1.5",
        "shards:",
        "shards:0",
        "similarity",
        "similarity:2",
        "sizes",
        "sizes:",
        "sizes:1,,2",
        "sizes:a",
    ],
)
def test_misspelled_numbers_are_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        parse_split(text)


@pytest.mark.parametrize(
    ("text", "near"), [("dirichlt:0.3", "dirichlet"), ("", "Known"), ("shard", "shards")]
)
def test_unknown_splits_suggest(text: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        parse_split(text)


def test_the_catalogue_holds_every_split() -> None:
    assert set(SPLITS) == set(Split.__subclasses__())
