"""Mimic copies the worker that stands out most, and stays with it after the warm-up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import varangian as vg

Array = NDArray[np.float64]


def honest(seed: int, h: int = 9, d: int = 12) -> Array:
    x = np.random.default_rng(seed).standard_normal((h, d))
    x += np.outer(np.random.default_rng(99).standard_normal(h), np.ones(d))
    return x


def unit(v: Array) -> Array:
    return v / np.linalg.norm(v)


def targets(rounds: list[Array], warmup: int) -> list[int]:
    """Return who is copied, from the definition: power iteration, one step a round, averaged."""
    chosen: list[int] = []
    direction = np.zeros(0)
    for t, x in enumerate(rounds, start=1):
        if t > warmup:
            chosen.append(chosen[-1])
            continue
        centred = x - x.mean(0)
        if t == 1:
            direction = np.linalg.svd(centred)[2][0]
        else:
            step = unit(centred.T @ (centred @ direction))
            direction = unit(direction * (1 - 1 / t) + step / t)
        chosen.append(int(np.abs(centred @ direction).argmax()))
    return chosen


@pytest.mark.parametrize("seed", range(8))
def test_first_round_is_the_largest_projection_on_the_top_direction(seed: int) -> None:
    x = honest(seed)
    forged = vg.Mimic()(x, b=3)
    covariance = np.cov(x.T)
    top = np.linalg.eigh(covariance)[1][:, -1]
    chosen = int(np.abs((x - x.mean(0)) @ top).argmax())
    np.testing.assert_array_equal(forged, np.stack([x[chosen]] * 3))


@pytest.mark.parametrize("warmup", [1, 4, 50])
@pytest.mark.parametrize("seed", range(4))
def test_rounds_follow_the_definition(seed: int, warmup: int) -> None:
    rng = np.random.default_rng(seed)
    rounds = [honest(seed) * rng.uniform(0.5, 2, (9, 1)) + rng.standard_normal((9, 12)) for _ in range(12)]
    attack, state, seen = vg.Mimic(warmup=warmup), None, []
    for x in rounds:
        forgery = attack.forge(x, 2, state=state)
        state = forgery.state
        matches = np.flatnonzero((x == forgery.value[0]).all(1))
        assert len(matches) == 1
        np.testing.assert_array_equal(forgery.value[1], x[matches[0]])
        seen.append(int(matches[0]))
    assert seen == targets(rounds, warmup)


def test_the_target_stays_after_the_warm_up_whatever_comes() -> None:
    attack = vg.Mimic(warmup=2)
    state = None
    for seed in range(2):
        state = attack.forge(honest(seed), 1, state=state).state
    copied = int(state.target)
    for seed in range(2, 8):
        x = honest(seed)
        x[(copied + 1) % 9] = 1e6
        forgery = attack.forge(x, 1, state=state)
        np.testing.assert_array_equal(forgery.value[0], x[copied])
        state = forgery.state
        assert state.rounds == 2


def test_the_state_decides_and_nothing_else_remembers() -> None:
    attack = vg.Mimic()
    one, two = honest(1), honest(2)
    after = attack.forge(one, 1).state
    with_memory = attack.forge(two, 1, state=after).state
    without = attack.forge(two, 1).state
    assert with_memory.rounds == 2
    assert without.rounds == 1
    assert not torch.allclose(with_memory.direction.abs(), without.direction.abs())
    assert torch.equal(attack.forge(two, 1, state=after).state.direction, with_memory.direction)


def test_a_batch_keeps_a_target_for_each_problem() -> None:
    rounds = [torch.from_numpy(np.stack([honest(10 * r + t) for r in range(3)])) for t in range(4)]
    attack, state = vg.Mimic(warmup=3), None
    alone: list[object] = [None, None, None]
    for x in rounds:
        forgery = attack.forge(x, 2, state=state)
        state = forgery.state
        for r in range(3):
            one = attack.forge(x[r], 2, state=alone[r])
            alone[r] = one.state
            assert torch.equal(forgery.value[r], one.value)


def test_equal_workers_are_copied_as_they_are() -> None:
    x = torch.full((4, 3), 2.0)
    forgery = vg.Mimic().forge(x, 2)
    assert torch.equal(forgery.value, x[:2])
    assert torch.equal(vg.Mimic().forge(x, 2, state=forgery.state).value, x[:2])
