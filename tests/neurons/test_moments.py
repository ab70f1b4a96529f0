"""Random crashes: b1 and b2 are bounds, b3 and b4 are as exact as they say; the published forms are not."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurons.generated import networks
from torch import Tensor, nn

from varangian.neurons import Evaluation, Network, b1, b2, b3, b4
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.moments import NORMS
from varangian.neurons.sampled import sampled

NEARLY = 1 + 1e-9


def exact(evaluation: Evaluation, layer: int, probability: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance over every set of crashes of a layer, weighed with their probabilities."""
    size = evaluation.network.hidden[layer - 1].neurons
    sets = torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)), dtype=torch.float64)
    faulty = evaluation.faulty(Drawn(len(sets), {layer: Affine(1 - sets)}))
    off = (faulty - evaluation.outputs).flatten(2)
    count = sets.sum(1)
    chance = (probability**count * (1 - probability) ** (size - count))[:, None, None]
    mean = (chance * off).sum(0)
    return mean, (chance * (off - mean).square()).sum(0)


def bare(model: nn.Sequential) -> nn.Sequential:
    """Return the model without what follows its last linear layer."""
    return model if isinstance(model[-1], nn.Linear) else model[:-1]


def evaluated(model: nn.Sequential, inputs: Tensor) -> Evaluation:
    return Evaluation.of(Network.of(model, inputs), inputs)


@given(networks(most=5, dense=True), st.sampled_from([0.01, 0.3, 0.9]), st.data())
@settings(max_examples=120)
def test_b1_and_b2_are_never_exceeded(
    made: tuple[nn.Sequential, Tensor], probability: float, data: st.DataObject
) -> None:
    evaluation = evaluated(bare(made[0]), made[1])
    layer = data.draw(st.integers(1, len(evaluation.network.hidden)))
    mean, variance = exact(evaluation, layer, probability)
    for q in NORMS:
        norms = torch.linalg.vector_norm(mean, ord=q, dim=1)
        assert bool((norms <= b1(evaluation, layer, probability, q) * NEARLY + 1e-12).all())
    bound = b2(evaluation, layer, probability)
    assert bound.bound
    assert bool((mean.abs() <= bound.mean * NEARLY + 1e-12).all())
    assert bool((variance <= bound.variance * NEARLY + 1e-12).all())


@given(networks(), st.sampled_from([0.02, 0.3]))
@settings(max_examples=40)
def test_b1_and_b2_of_convolutions(made: tuple[nn.Sequential, Tensor], probability: float) -> None:
    """Draws scatter, so that means may exceed a bound by five of their deviations, and variances by half."""
    evaluation = evaluated(bare(made[0]), made[1][:1])
    found = sampled(evaluation, 1, probability, 200)
    spread = 5 * (found.variance.clamp(min=0) / 200).sqrt()
    bound = b2(evaluation, 1, probability)
    assert bool((found.mean.abs() <= bound.mean + spread + 1e-12).all())
    assert bool((found.variance <= 1.5 * bound.variance + 1e-12).all())
    for q in NORMS:
        length = torch.linalg.vector_norm((found.mean.abs() - spread).clamp(min=0), ord=q, dim=1)
        assert bool((length <= b1(evaluation, 1, probability, q) + 1e-12).all())


def test_published_b1_is_exceeded_by_a_rest_that_is_not_linear() -> None:
    """A rotation and a rectifier: errors of either sign come out positive, and add up to sqrt(p)."""
    size, probability = 12, 0.01
    random = torch.randn(size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rotation = torch.linalg.qr(random).Q
    model = nn.Sequential(
        nn.Linear(1, size), nn.Tanh(), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1, bias=False)
    ).double()
    nn.init.zeros_(model[0].weight)
    nn.init.constant_(model[0].bias, 0.5)
    model[2].weight.data = rotation
    model[2].bias.data = -rotation @ torch.full((size,), math.tanh(0.5), dtype=torch.float64)
    nn.init.constant_(model[4].weight, 1 / math.sqrt(size))
    evaluation = evaluated(model, torch.zeros(1, 1).double())
    mean, _ = exact(evaluation, 1, probability)
    length = float(mean.norm())
    assert length > 1.2 * float(b1(evaluation, 1, probability, published=True))
    assert length <= float(b1(evaluation, 1, probability))


def test_published_b2_is_exceeded_by_weights_that_conspire() -> None:
    """Two paths of the same sign: their sum squared is twice the sum of their squares."""
    model = nn.Sequential(
        nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 8), nn.Identity(), nn.Linear(8, 1)
    ).double()
    for values in model.parameters():
        nn.init.constant_(values, 1.0)
    evaluation = evaluated(model, torch.ones(1, 1).double())
    _, variance = exact(evaluation, 1, 0.1)
    assert float(variance) > 7 * float(b2(evaluation, 1, 0.1, published=True).variance)
    assert float(variance) == pytest.approx(float(b2(evaluation, 1, 0.1).variance))


@given(networks(most=5, dense=True), st.data())
@settings(max_examples=40)
def test_b4_is_exact_to_the_square_of_p(made: tuple[nn.Sequential, Tensor], data: st.DataObject) -> None:
    evaluation = evaluated(*made)
    layer = data.draw(st.integers(1, len(evaluation.network.hidden)))

    def off(probability: float) -> Tensor:
        mean, variance = exact(evaluation, layer, probability)
        told = b4(evaluation, layer, probability)
        return torch.stack([(mean - told.mean).abs(), (variance - told.variance).abs()])

    size = float(b4(evaluation, layer, 1.0).variance.max().sqrt())
    rare, rarer = off(1e-3), off(1e-5)
    assert bool((rare <= 1e-3 * 60 * (size + size**2) + 1e-12).all())
    assert bool((rarer <= rare * 2e-4 + 1e-9 * (size + size**2) + 1e-13).all())


@given(networks(most=5, dense=True))
@settings(max_examples=40)
def test_b3_is_exact_where_the_rest_is_linear(made: tuple[nn.Sequential, Tensor]) -> None:
    evaluation = evaluated(bare(made[0]), made[1])
    last = len(evaluation.network.hidden)
    third, fourth = b3(evaluation, last, 0.01), b4(evaluation, last, 0.01)
    torch.testing.assert_close(third.mean, fourth.mean)
    torch.testing.assert_close(third.variance, fourth.variance)


def test_b3_and_b4_of_a_loss() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    inputs, labels = torch.randn(5, 4).double(), torch.tensor([0, 1, 2, 0, 1])

    def loss(outputs: Tensor) -> Tensor:
        several = labels.repeat(len(outputs) // 5)
        return nn.functional.cross_entropy(outputs, several, reduction="none")

    evaluation = evaluated(model, inputs)
    third, fourth = b3(evaluation, 1, 1e-3, loss), b4(evaluation, 1, 1e-3, loss)
    assert third.mean.shape == fourth.mean.shape == (5, 1)
    one = evaluation.faulty(Drawn(1, {1: Affine((torch.arange(6) != 2).double()[None])}))[0]
    left_out = [
        loss(evaluation.faulty(Drawn(1, {1: Affine((torch.arange(6) != i).double()[None])}))[0])
        for i in range(6)
    ]
    assert torch.equal(loss(one), left_out[2])
    expected = 1e-3 * sum(part - loss(evaluation.outputs) for part in left_out)
    torch.testing.assert_close(fourth.mean.squeeze(1), expected)


def test_sampled_moments_are_those_of_all_sets() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    evaluation = evaluated(model, torch.randn(2, 3).double())
    for probability in (0.01, 0.3):
        mean, variance = exact(evaluation, 1, probability)
        found = sampled(evaluation, 1, probability, 40_000)
        torch.testing.assert_close(found.mean, mean, rtol=0.1, atol=float(variance.sqrt().max()) / 40)
        torch.testing.assert_close(found.variance, variance, rtol=0.1, atol=1e-9)
