"""Momentum's algebra, written out by hand on a quadratic, at each of its three places."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from varangian.optim import PLACES, Momentum

STEPS, RATE = 6, 0.1
CASES = list(product(PLACES, (False, True), (0.0, 0.3), (0.0, 0.9)))


@pytest.mark.parametrize(("place", "nesterov", "dampening", "mu"), CASES)
def test_by_hand_on_quadratics(place: str, nesterov: bool, dampening: float, mu: float) -> None:
    """Three workers hold 1/2 |A_i (theta - c_i)|^2 each; the rule is the median."""
    rng = np.random.default_rng(3)
    a, c = rng.uniform(0.5, 2, (3, 4)), rng.standard_normal((3, 4))
    momentum = Momentum(mu, place, dampening, nesterov)
    theta, memory = (
        torch.zeros(4, dtype=torch.float64),
        torch.zeros(3 if place == "worker" else 1, 4).double(),
    )
    by_hand, kept = np.zeros(4), np.zeros((3, 4)) if place == "worker" else np.zeros(4)

    for _ in range(STEPS):
        starts = (theta + momentum.lookahead(memory, RATE)).expand(3, -1)
        sampled = torch.from_numpy(a**2) * (starts - torch.from_numpy(c))
        sent = momentum.sent(memory, sampled)
        received = momentum.received(memory[0], sent)
        aggregated = received.median(0).values
        direction = momentum.applied(memory[0], aggregated)
        theta = theta - RATE * direction
        memory = sent if place == "worker" else direction[None]

        ahead = by_hand - RATE * mu * kept if nesterov else by_hand
        g = a**2 * (ahead - c)
        if place == "worker":
            kept = mu * kept + (1 - dampening) * g
            step = np.median(kept, axis=0)
        elif place == "server":
            kept = step = np.median((1 - dampening) * g + mu * kept, axis=0)
        else:
            kept = step = mu * kept + (1 - dampening) * np.median(g, axis=0)
        by_hand = by_hand - RATE * step
        np.testing.assert_allclose(theta, by_hand, rtol=1e-13)


def test_places_differ_under_a_rule_that_is_not_linear() -> None:
    rng = np.random.default_rng(0)
    gradients = torch.from_numpy(rng.standard_normal((5, 3, 4)))
    ends = []
    for place in PLACES:
        momentum, memory, total = Momentum(0.9, place), torch.zeros(3, 4).double(), torch.zeros(4).double()
        for g in gradients:
            own = memory if place == "worker" else memory[:1]
            sent = momentum.sent(own, g)
            direction = momentum.applied(own[0], momentum.received(own[0], sent).median(0).values)
            memory = sent if place == "worker" else direction.expand(3, -1)
            total = total + direction
        ends.append(total)
    assert not torch.allclose(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2])


def test_without_momentum_everything_passes() -> None:
    g = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(3, 4, dtype=torch.float64)
    for place in PLACES:
        momentum = Momentum(0.0, place)
        assert torch.equal(momentum.sent(zeros, g), g)
        assert torch.equal(momentum.received(zeros[0], g), g)
        assert torch.equal(momentum.applied(zeros[0], g[0]), g[0])
        assert momentum.lookahead(zeros, 0.1) == 0.0
