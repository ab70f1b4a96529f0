"""A result can be written where the caller wants it, or is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import varangian as vg
from varangian.errors import InputError, ShapeError

RULES = [vg.Median(f=1), vg.Krum(f=1), vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))]
X = torch.randn(2, 6, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_kind(rule: vg.Stage) -> None:
    batch, flat = torch.empty(2, 40), np.empty(40, np.float32)
    assert rule(X, out=batch) is batch
    assert torch.equal(batch, rule(X))
    assert rule(X[0].numpy(), out=flat) is flat
    np.testing.assert_array_equal(flat, batch[0])
    lists = [[row[:12].view(3, 4), row[12:]] for row in X[0]]
    parts = [torch.empty(3, 4), torch.empty(28)]
    assert rule(lists, out=parts) is parts
    assert torch.equal(torch.cat([part.view(-1) for part in parts]), batch[0])


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (torch.empty(39), ShapeError),
        (torch.empty(40, dtype=torch.float64), InputError),
        (torch.empty(80)[::2], InputError),
        (X[0, 0], InputError),
        ("x", InputError),
    ],
    ids=["shape", "dtype", "every other", "shared", "no array"],
)
def test_what_cannot_be_written_is_refused(out: Any, error: type[Exception]) -> None:
    before = X.clone()
    with pytest.raises(error):
        vg.Median(f=1)(X[0], out=out)
    assert torch.equal(X, before)


def test_numpy_rows_are_not_written_over() -> None:
    x = X[0].numpy().copy()
    before = x.copy()
    for out in (x[3], x[0]):
        with pytest.raises(InputError, match="shares memory"):
            vg.Median(f=1)(x, out=out)
    assert (x == before).all()
    assert np.isfinite(vg.Median(f=1)(x[:5], out=x[5])).all()  # a neighbour is none of them


def test_what_is_read_only_is_not_written(tmp_path: Path) -> None:
    frozen = np.zeros(40, np.float32)
    frozen.flags.writeable = False
    np.save(tmp_path / "out.npy", frozen)
    for out in (frozen, np.load(tmp_path / "out.npy", mmap_mode="r")):
        with pytest.raises(InputError, match="cannot be written"):
            vg.Median(f=1)(X[0].numpy(), out=out)
    assert (frozen == 0).all()


def test_arrays_of_jax_are_not_written() -> None:
    jnp = pytest.importorskip("jax.numpy")
    x, out = jnp.asarray(X[0].numpy()), jnp.zeros(40, jnp.float32)
    with pytest.raises(InputError, match="cannot be written"):
        vg.Median(f=1)(x, out=out)
    assert (np.asarray(out) == 0).all()


def test_a_leaf_that_is_not_in_one_piece_is_refused() -> None:
    lists = [[row[:12].view(3, 4), row[12:]] for row in X[0]]
    with pytest.raises(InputError, match="in one piece"):
        vg.Median(f=1)(lists, out=[torch.empty(4, 3).T, torch.empty(28)])


def test_a_mixer_has_no_one_result() -> None:
    with pytest.raises(InputError, match="several"):
        vg.NearestNeighborMixing(f=1)(X[0], out=torch.empty(40))


def test_nothing_is_written_over_that_is_still_to_be_read() -> None:
    x, room = X[0].clone(), torch.empty(60)
    leaves = [{"a": row[:12], "b": row[12:]} for row in x]
    for out in (
        {"a": x[0, 28:], "b": torch.empty(28)},  # what another leaf is made of
        {"a": room[:12], "b": room[10:38]},  # itself
    ):
        with pytest.raises(InputError, match="shares memory"):
            vg.Median(f=1)(leaves, out=out)
    assert torch.equal(x, X[0])
    rule, before = vg.CenteredClipping(f=1, radius=1.0), X[0, 0].clone()
    state = torch.cat([before, before])
    with pytest.raises(InputError, match="shares memory"):
        rule(x, state=state[:40], out=state[7:47])
    with pytest.raises(InputError, match="shares memory"):  # a part of it is the state of every run
        rule(X, state=(room := torch.zeros(2, 40))[0], out=room)
    want = rule(x, state=before)
    assert torch.equal(rule(x, state=state[:40], out=state[:40]), want)
    assert torch.equal(state[:40], want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_state_is_written_over_though_a_value_is_not_finite(dtype: torch.dtype) -> None:
    """The sum is begun again where it meets one, and the state must still be there then."""
    x = torch.ones(4, 640, dtype=dtype)
    x[3, 7] = torch.nan
    rule, state = vg.CenteredClipping(f=1, radius=10.0), torch.full((640,), 5.0, dtype=dtype)
    want = rule(x, state=state.clone())
    assert torch.equal(rule(x, state=state, out=state), want)


@pytest.mark.parametrize("rule", [*RULES, vg.DnC(f=1), vg.Median(f=1, missing=True)], ids=repr)
def test_autograd_knows_that_a_result_was_written(rule: vg.Stage) -> None:
    place, weight = torch.ones(40), torch.ones(40, requires_grad=True)
    loss = (place * weight).sum()
    rule(X[0], out=place)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_result_is_written_in_inference_mode(rule: vg.Stage) -> None:
    want = rule(X[0])
    with torch.inference_mode():
        assert torch.equal(rule(X[0], out=torch.empty(40)), want)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_blocks_are_not_written_over(rule: vg.Stage) -> None:
    x = X[0].clone()
    with pytest.raises(InputError, match="shares memory"):
        rule(vg.InBlocks(lambda: x.split(8, dim=1), shape=x.shape), out=x[2])
    assert torch.equal(x, X[0])
