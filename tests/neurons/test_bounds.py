"""No bound is ever exceeded, whatever fails; and FEP is tight where it can be."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurons.generated import networks
from torch import Tensor, nn

from varangian.core.randomness import Stream
from varangian.errors import ParameterError
from varangian.neurons import (
    BitFlip,
    Byzantine,
    Crash,
    Evaluation,
    Fault,
    Network,
    Quantised,
    StuckAt,
    expected_error,
    fep,
    measure,
)
from varangian.neurons.bounds import LOSSES
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.harmed import losses

NEARLY = 1 + 1e-9


def drawn_fault(data: st.DataObject, network: Network) -> Fault:
    """Draw a fault by count that a network has enough parts for.

    It is made here and not in a strategy: type checks of tuples use chance, which strategies must not.
    """
    of = data.draw(st.sampled_from(["neurons", "synapses"]))
    sizes = (
        [at.neurons for at in network.hidden] if of == "neurons" else [at.synapses for at in network.layers]
    )
    counts = tuple(data.draw(st.integers(0, min(size, 5))) for size in sizes)
    size = data.draw(st.sampled_from([0.01, 0.5, 3.0]))
    bits = data.draw(st.integers(1, 8))
    kinds = [
        Crash(count=counts, of=of),
        Byzantine(size, count=counts, of=of),
        StuckAt(-size, count=counts, of=of),
        BitFlip(bits, count=counts, of=of),
        Quantised(bits, of=of),
    ]
    return kinds[data.draw(st.integers(0, len(kinds) - 1))]


def check_never_exceeded(data: st.DataObject, faults_each: int, draws: int) -> None:
    model, inputs = data.draw(networks())
    network = Network.of(model, inputs)
    evaluation = Evaluation.of(network, inputs)
    for number in range(faults_each):
        fault = drawn_fault(data, network)
        found = measure(evaluation, fault, draws, stream=Stream(number))
        assert found.largest.worst <= fep(network, fault).value * NEARLY + 1e-12, fault


@given(st.data())
@settings(max_examples=150)
def test_fep_is_never_exceeded(data: st.DataObject) -> None:
    check_never_exceeded(data, 4, 16)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=10_000)
def test_fep_is_never_exceeded_by_10_000_networks(data: st.DataObject) -> None:
    check_never_exceeded(data, 2, 16)


@given(st.data(), st.integers(0, 2**32), st.sampled_from([0.1, 2.0]))
@settings(max_examples=100)
def test_fep_bears_liars_who_know_the_weights(data: st.DataObject, seed: int, capacity: float) -> None:
    """Each lie has the sign that moves an output further, on one input; all its neurons lie."""
    model, inputs = data.draw(networks())
    network = Network.of(model, inputs)
    evaluation = Evaluation.of(network, inputs)
    changes = {}
    for layer in network.hidden:
        sent = evaluation.values[layer.site + 1].detach().requires_grad_(True)
        outputs = nn.Sequential(*network.modules[layer.site + 1 :])(sent)
        slopes = torch.autograd.grad(outputs[0].flatten()[0], sent)[0][0].flatten()
        lies = capacity * torch.where(slopes >= 0, 1.0, -1.0).double()[None]
        changes[layer.number] = Affine(torch.zeros_like(lies), torch.ones_like(lies), lies)
    faulty = evaluation.faulty(Drawn(1, changes))
    fault = Byzantine(capacity, count=tuple(layer.neurons for layer in network.hidden))
    assert float((faulty - evaluation.outputs).abs().max()) <= fep(network, fault).value * NEARLY


@given(st.integers(1, 8), st.integers(1, 8), st.floats(0.01, 5), st.floats(0.01, 5))
def test_fep_is_tight_at_one_layer(neurons: int, count: int, weight: float, capacity: float) -> None:
    """Equal weights, and lies in the same direction, add up to all of the bound."""
    count = min(count, neurons)
    model = nn.Sequential(nn.Linear(2, neurons), nn.Tanh(), nn.Linear(neurons, 1)).double()
    nn.init.constant_(model[2].weight, weight)
    inputs = torch.ones(1, 2).double()
    network = Network.of(model, inputs)
    evaluation = Evaluation.of(network, inputs)
    failing = (torch.arange(neurons) < count).double()[None]
    faulty = evaluation.faulty(Drawn(1, {1: Affine(1 - failing, failing, capacity * failing)}))
    error = float((faulty - evaluation.outputs).abs().max())
    bound = fep(network, Byzantine(capacity, count=count)).value
    assert bound == pytest.approx(capacity * count * weight)
    assert 0.99 * bound <= error <= bound * NEARLY


def test_a_crash_is_as_bad_as_fep_says_where_neurons_are_full() -> None:
    model = nn.Sequential(nn.Linear(1, 9), nn.Sigmoid(), nn.Linear(9, 1)).double()
    nn.init.constant_(model[0].weight, 50.0)
    nn.init.constant_(model[2].weight, 0.7)
    inputs = torch.ones(1, 1).double()
    network = Network.of(model, inputs)
    found = measure(Evaluation.of(network, inputs), Crash(count=4), 1).largest.worst
    assert found >= 0.99 * fep(network, Crash(count=4)).value


def by_hand(sizes: list[int], counts: list[int], weights: list[float], k: float, c: float) -> float:
    """Return FEP as it is printed: C sum_l f_l K^(L-l) w_(L+1) prod_(l' > l) (N_l' - f_l') w_l'."""
    last = len(sizes)
    total = 0.0
    for layer in range(last):
        one = counts[layer] * k ** (last - 1 - layer) * weights[last]
        for after in range(layer + 1, last):
            one *= (sizes[after] - counts[after]) * weights[after]
        total += one
    return c * total


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_fep_is_the_printed_sum(sizes: list[int], data: st.DataObject) -> None:
    counts = [data.draw(st.integers(0, size)) for size in sizes]
    modules: list[nn.Module] = []
    for size, following in itertools.pairwise([3, *sizes]):
        modules += [nn.Linear(size, following), nn.Sigmoid()]
    model = nn.Sequential(*modules, nn.Linear(sizes[-1], 2)).double()
    inputs = torch.zeros(1, 3).double()
    network = Network.of(model, inputs)
    weights = [layer.weight for layer in network.layers]
    capacity = data.draw(st.sampled_from([0.001, 1.0]))
    bound = fep(network, Byzantine(capacity, count=tuple(counts))).value
    assert bound == pytest.approx(by_hand(sizes, counts, weights, 0.25, capacity))


def exact_expectation(evaluation: Evaluation, probability: float) -> float:
    """Return the expected largest error over every set of crashes, each weighed with its probability."""
    sizes = [layer.neurons for layer in evaluation.network.hidden]
    sets = torch.tensor(list(itertools.product([0.0, 1.0], repeat=sum(sizes))), dtype=torch.float64)
    parts = [1 - part for part in sets.split(sizes, dim=1)]
    faulty = evaluation.faulty(Drawn(len(sets), {n: Affine(part) for n, part in enumerate(parts, 1)}))
    count = sets.sum(1)
    chance = probability**count * (1 - probability) ** (sum(sizes) - count)
    errors = (faulty - evaluation.outputs).abs().flatten(2).amax(2)
    return float((chance[:, None] * errors).sum(0).max())


@given(networks(most=3, deepest=3, dense=True), st.floats(0.0, 1.0))
@settings(max_examples=80)
def test_the_expected_error_is_never_exceeded(made: tuple[nn.Sequential, Tensor], probability: float) -> None:
    model, inputs = made
    network = Network.of(model, inputs)
    bound = expected_error(network, Crash(probability=probability)).value
    assert exact_expectation(Evaluation.of(network, inputs), probability) <= bound * NEARLY + 1e-12


@given(networks(), st.sampled_from([0.02, 0.3]), st.sampled_from(["neurons", "synapses"]))
@settings(max_examples=60)
def test_the_expected_error_of_convolutions(
    made: tuple[nn.Sequential, Tensor], probability: float, of: str
) -> None:
    """A mean over draws may exceed an expectation by chance, but not by five of its deviations."""
    model, inputs = made
    network = Network.of(model, inputs[:1])
    evaluation = Evaluation.of(network, inputs[:1])
    for fault in (Crash(probability=probability, of=of), Byzantine(0.5, probability=probability, of=of)):
        found = measure(evaluation, fault, 100).largest
        assert found.value - 5 * (found.high - found.value) <= expected_error(network, fault).value + 1e-12


@given(networks(), st.data(), st.sampled_from(LOSSES))
@settings(max_examples=80)
def test_the_bound_on_a_loss_is_never_exceeded(
    made: tuple[nn.Sequential, Tensor], data: st.DataObject, loss: str
) -> None:
    model, inputs = made
    if isinstance(model[-1], nn.LogSoftmax | nn.Softmax | nn.Sigmoid):
        model = model[:-1]
    if loss == "nll":
        model.append(nn.LogSoftmax(-1))
    if loss == "mse":
        model[-1] = nn.Linear(model[-1].in_features, 1).double()
    network = Network.of(model, inputs)
    evaluation = Evaluation.of(network, inputs)
    labels = torch.zeros(len(inputs), dtype=torch.long)
    fault = drawn_fault(data, network)
    outputs = evaluation.outputs
    bound = fep(network, fault)
    single = outputs.squeeze(1) if loss == "mse" else None
    most = bound.on_loss(loss, single, labels if loss == "mse" else None)
    found = measure(evaluation, fault, 8, labels=labels, loss=loss)
    assert found.errors.loss is not None
    off = (found.errors.loss - losses(outputs[None], labels, loss).mean()).abs().max()
    assert float(off) <= most * NEARLY + 1e-9


def test_a_bound_says_what_it_assumes() -> None:
    inputs = torch.ones(2, 3)
    for activation, told in ((nn.Sigmoid(), "every input"), (nn.ReLU(), "the inputs at hand")):
        model = nn.Sequential(nn.Linear(3, 4), activation, nn.Linear(4, 2))
        bound = fep(Network.of(model, inputs), Crash(count=1))
        assert any(told in line for line in bound.assumptions)
        assert any("Lipschitz" in line for line in bound.assumptions)


def test_faults_without_a_bound_are_refused() -> None:
    inputs = torch.ones(2, 3)
    network = Network.of(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), inputs)
    with pytest.raises(ParameterError, match="floating point"):
        fep(network, BitFlip(count=1))
    with pytest.raises(ParameterError, match="ask for its expected_error"):
        fep(network, Crash(probability=0.1))
    with pytest.raises(ParameterError, match="ask for its fep"):
        expected_error(network, Crash(count=1))
    with pytest.raises(ParameterError, match="needs outputs and labels"):
        fep(network, Crash(count=1)).on_loss("mse")
