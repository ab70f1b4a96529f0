"""What a budget buys is what the bounds allow, and keeps what it promises."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurons.generated import networks
from torch import Tensor, nn

from varangian.errors import InputError, ParameterError
from varangian.neurons import (
    Byzantine,
    Crash,
    Evaluation,
    Network,
    Quantised,
    bits_needed,
    error_budget,
    fep,
    measure,
    speedup,
    tolerated,
    tolerated_alone,
    worst_crash,
)
from varangian.neurons.faults import MOST_BITS


@given(networks(most=4, deepest=3, dense=True), st.floats(0.001, 50), st.sampled_from([0.01, 1.0]))
@settings(max_examples=25)
def test_no_distribution_of_more_faults_is_proven(
    made: tuple[nn.Sequential, Tensor], epsilon: float, capacity: float
) -> None:
    network = Network.of(*made)
    for fault in (Crash(count=1), Byzantine(capacity, count=1)):
        found = tolerated(network, fault, epsilon)
        assert found.bound <= epsilon * (1 + 1e-9)
        sizes = [layer.neurons for layer in network.hidden]
        bounds = {
            counts: fep(network, replace(fault, count=counts)).value
            for counts in itertools.product(*(range(size + 1) for size in sizes))
        }
        least, most = (
            max(sum(counts) for counts, bound in bounds.items() if bound <= epsilon * slack)
            for slack in (1 - 1e-9, 1 + 1e-9)
        )
        assert least <= found.total <= most
        for at, count in enumerate(tolerated_alone(network, fault, epsilon)):
            one = tuple(count if number == at else 0 for number in range(len(sizes)))
            more = tuple(count + 1 if number == at else 0 for number in range(len(sizes)))
            assert fep(network, replace(fault, count=one)).value <= epsilon
            assert count == sizes[at] or fep(network, replace(fault, count=more)).value > epsilon


@given(networks(), st.floats(0.01, 20), st.sampled_from(["neurons", "synapses"]))
@settings(max_examples=25)
def test_what_is_added_one_by_one_stays_within_the_budget(
    made: tuple[nn.Sequential, Tensor], epsilon: float, of: str
) -> None:
    network = Network.of(*made)
    found = tolerated(network, Crash(count=1, of=of), epsilon)
    assert found.bound <= epsilon
    assert found.bound == fep(network, Crash(count=found.counts, of=of)).value


@given(networks(), st.floats(0.001, 10), st.sampled_from(["neurons", "synapses"]))
@settings(max_examples=25)
def test_bits_are_the_fewest(made: tuple[nn.Sequential, Tensor], epsilon: float, of: str) -> None:
    network = Network.of(*made)
    bits = bits_needed(network, epsilon, of)
    if bits is None:
        assert fep(network, Quantised(MOST_BITS, of=of)).value > epsilon
        return
    assert fep(network, Quantised(bits, of=of)).value <= epsilon
    assert bits == 1 or fep(network, Quantised(bits - 1, of=of)).value > epsilon
    found = measure(Evaluation.of(network, made[1]), Quantised(bits, of=of), 1)
    assert found.largest.worst <= epsilon


def classifier() -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return a classifier of two blobs whose weights are spread over many neurons."""
    torch.manual_seed(3)
    labels = torch.arange(200) % 2
    inputs = torch.randn(200, 2) + 3.0 * (2 * labels[:, None] - 1)
    model = nn.Sequential(nn.Linear(2, 40), nn.Sigmoid(), nn.Linear(40, 2), nn.LogSoftmax(-1))
    descent = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        descent.zero_grad()
        nn.functional.nll_loss(model(inputs), labels).backward()
        descent.step()
    return model.eval(), inputs, labels


def test_an_accuracy_budget_is_kept_by_the_worst_crashes() -> None:
    model, inputs, labels = classifier()
    network = Network.of(model, inputs)
    evaluation = Evaluation.of(network, inputs)
    right = float((model(inputs).argmax(1) == labels).double().mean())
    budget = error_budget(evaluation, labels, 0.05)
    found = tolerated(network, Crash(count=1), budget)
    assert found.total >= 1
    for objective in ("accuracy", "largest"):
        worst = worst_crash(evaluation, found.counts, objective=objective, labels=labels)
        fault = Crash(count=found.counts)
        assert measure(evaluation, fault, 50, labels=labels).errors.accuracy.min() >= right - 0.05 - 1e-9
        if objective == "accuracy":
            assert 1 - worst.error >= right - 0.05 - 1e-9
        else:
            assert worst.error <= budget


def test_budgets_follow_the_margins() -> None:
    model, inputs, labels = classifier()
    evaluation = Evaluation.of(Network.of(model, inputs), inputs)
    budgets = [error_budget(evaluation, labels, lost) for lost in (0.0, 0.1, 0.5, 1.0)]
    assert budgets == sorted(budgets)
    assert budgets[0] > 0
    assert budgets[-1] == math.inf
    logits = model[:-1](inputs).detach()
    off = budgets[0] / 2 * (1 - 1e-4)  # a softmax stretches the bound twice
    worst = logits + torch.where(nn.functional.one_hot(labels, 2).bool(), -off, off)
    assert (worst.argmax(1) == labels)[logits.argmax(1) == labels].all()


def test_a_speedup_is_that_of_drawn_delays() -> None:
    generator = torch.Generator().manual_seed(1)
    delays = -torch.rand(20_000, 50, generator=generator).log()
    slow, quick = delays.amax(1).mean(), delays.sort(1).values[:, 50 - 8 - 1].mean()
    assert speedup([50], [8]) == pytest.approx(float(slow / quick), rel=0.02)
    assert speedup([50, 9], [0, 0]) == 1
    assert speedup([3], [3]) == math.inf


def test_refusals() -> None:
    model, inputs, labels = classifier()
    network = Network.of(model, inputs)
    evaluation = Evaluation.of(network, inputs)
    with pytest.raises(ParameterError, match="lies between 0 and 1"):
        error_budget(evaluation, labels, 1.5)
    with pytest.raises(InputError, match="one label for each"):
        error_budget(evaluation, labels[:5], 0.1)
    with pytest.raises(ParameterError, match="ask for bits_needed"):
        tolerated(network, Quantised(3), 1.0)
    with pytest.raises(ParameterError, match="0 or more"):
        tolerated(network, Crash(count=1), math.nan)
