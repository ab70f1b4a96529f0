"""Models that no bound is known for are refused, with the reason; others are read as they are."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from varangian.errors import InputError, ParameterError
from varangian.neurons import Byzantine, Crash, Network, Quantised, Steep, StuckAt, steepened, steepness


def chain(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), *between, nn.Linear(6, 2))


class Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def spoiled() -> nn.Sequential:
    model = chain(nn.ReLU())
    model[0].weight.data[0, 0] = math.nan
    return model


REFUSED = [
    (Whole(), "no torch.nn.Sequential"),
    (chain(nn.BatchNorm1d(6)), "torch.nn.utils.fusion"),
    (chain(nn.LayerNorm(6)), "Module 1 is a LayerNorm, which no bound is known for"),
    (chain(nn.ReLU(), nn.Tanh()), "two activations"),
    (chain(nn.Softmax(-1)), "a softmax"),
    (nn.Sequential(nn.Linear(4, 2)), "no hidden neuron"),
    (spoiled(), "whose weight holds 1 values that are not finite"),
    (
        nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")),
        "'zeros'",
    ),
    (nn.Sequential(nn.Unflatten(1, (1, 4)), nn.MaxPool1d(2, padding=1)), "padding=1; bounds need padding=0"),
    (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), "Put a Flatten"),
]


@pytest.mark.parametrize(("model", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_models_without_bounds_are_refused(model: nn.Module, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        Network.of(model, torch.ones(2, 4))


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (torch.ones(2, 5), "do not fit the model: module 0, a Linear"),
        (torch.ones(0, 4), "No input"),
        (torch.full((1, 4), math.inf), "not finite"),
        (torch.ones(2, 4).double(), "computes in torch.float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: Tensor, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Network.of(chain(nn.ReLU()), inputs)


IMPOSSIBLE = [
    (Crash, "one of count and probability"),
    (lambda: Crash(count=1, probability=0.1), "one of count and probability"),
    (lambda: Crash(count=-1), "0 or more"),
    (lambda: Crash(probability=1.5), "between 0 and 1"),
    (lambda: Crash(probability=math.nan), "between 0 and 1"),
    (lambda: Crash(count=1, of="neuron"), "neurons, synapses"),
    (lambda: Crash(count=1, layers=(0,)), "numbered from 1"),
    (lambda: Crash(count=(1, 2), layers=(1,)), "leave layers out"),
    (lambda: Byzantine(-1.0, count=1), "0 or more"),
    (lambda: Byzantine(math.inf, count=1), "capacity"),
    (lambda: StuckAt(math.nan, count=1), "value"),
    (lambda: Quantised(0), "from 1 to 24"),
    (lambda: Quantised(8, count=1), "neither count nor probability"),
    (lambda: Steep(nn.Tanh(), 0.0), "positive"),
]


@pytest.mark.parametrize(("made", "told"), IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_impossible_faults_are_refused(made: object, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        made()  # type: ignore[operator]


def test_counts_must_fit_the_model() -> None:
    with pytest.raises(ParameterError, match="7 neurons of layer 2 cannot fail; it has 6"):
        Crash(count=(1, 7)).counts((9, 6))
    with pytest.raises(ParameterError, match="has 1 counts; the model has 2 layers"):
        Crash(count=(1,)).counts((9, 6))
    with pytest.raises(ParameterError, match="there is no layer 3"):
        Crash(count=1, layers=(3,)).counts((9, 6))


def test_layers_are_read() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 5),
        nn.Dropout(), nn.ReLU(), nn.Linear(5, 3), nn.LogSoftmax(-1),
    )  # fmt: skip
    network = Network.of(model, torch.ones(2, 1, 4, 4))
    first, second, last = network.layers
    assert (first.neurons, first.synapses, first.shared, first.fan_in, first.fan_out) == (32, 18, 16, 9, 18)
    assert (second.linear, second.site, second.neurons, second.measured) == (4, 6, 5, True)
    assert (last.neurons, network.head, network.classes, network.bounded) == (3, 2.0, 3, False)
    assert first.reach == 1.0
    assert model.training, "The model itself is left as it was."


def test_an_error_grows_as_a_power_of_the_constant_and_exponentially_with_depth() -> None:
    torch.manual_seed(5)
    sizes = [nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU()]
    model = nn.Sequential(*sizes, nn.Linear(30, 4)).double()
    for module in sizes[::2]:
        nn.init.zeros_(module.bias)
    inputs = torch.randn(20, 8).double()
    # Lies so small that no rectifier turns on or off for them pass each layer as its weights say.
    found = steepness(model, inputs, (0.5, 1.0, 2.0, 4.0), capacity=1e-4)
    assert found.constants == (0.5, 1.0, 2.0, 4.0)
    for passed, line in zip((2, 1, 0), found.by_layer(), strict=True):
        assert line.slope == pytest.approx(passed, abs=0.05)
    rates = [line.slope for line in found.by_depth()]
    assert all(b - a == pytest.approx(math.log(2), abs=0.02) for a, b in pairwise(rates))
    for row, bounds in zip(found.errors, found.bounds, strict=True):
        assert all(one.worst <= bound for one, bound in zip(row, bounds, strict=True))
    torch.testing.assert_close(steepened(model, 1.0)(inputs), model(inputs))
    with pytest.raises(ParameterError, match="at least two"):
        steepness(model, inputs, (1.0,))
