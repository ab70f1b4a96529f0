"""Hooks strike any module and leave it as it was; the quick way comes to the same numbers."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neurons.generated import networks
from torch import Tensor, nn

from varangian.core.randomness import Stream
from varangian.errors import ParameterError
from varangian.neurons import (
    FAULTS,
    BitFlip,
    Byzantine,
    Crash,
    Evaluation,
    Fault,
    Network,
    Quantised,
    StuckAt,
    injected,
)

EVERY = [
    Crash(count=1),
    Crash(probability=0.3),
    Crash(count=1, of="synapses"),
    Byzantine(0.3, count=1),
    Byzantine(0.3, probability=0.4, of="synapses"),
    StuckAt(0.5, count=1),
    StuckAt(0.5, count=1, of="synapses"),
    BitFlip(count=1),
    BitFlip(8, count=1),
    BitFlip(count=1, of="synapses"),
    BitFlip(4, count=1, of="synapses"),
    Quantised(3),
    Quantised(3, of="synapses"),
]


@pytest.mark.parametrize("fault", EVERY, ids=repr)
@given(made=networks(), seed=st.integers(0, 2**32))
@settings(max_examples=12)
def test_the_quick_way_is_the_slow_way(fault: Fault, made: tuple[nn.Sequential, Tensor], seed: int) -> None:
    model, inputs = made
    evaluation = Evaluation.of(Network.of(model, inputs), inputs)
    quick = evaluation.faulty(fault.draw(evaluation.sites, evaluation.wires, 5, Stream(seed)))
    with injected(model, fault, inputs, draws=5, stream=Stream(seed)):
        slow = model(inputs)
    torch.testing.assert_close(quick, slow, equal_nan=True)


def plain() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)).eval()


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("fault", EVERY, ids=repr)
def test_a_model_is_left_as_it_was(fault: Fault) -> None:
    model, inputs = plain(), torch.randn(4, 3)
    before, outputs = copy.deepcopy(model.state_dict()), model(inputs)
    with injected(model, fault, inputs, draws=3):
        assert model(inputs).shape == (3, 4, 2)
        assert hooks(model)
    assert not hooks(model)
    assert torch.equal(model(inputs), outputs)
    assert all(torch.equal(model.state_dict()[name], values) for name, values in before.items())


def test_hooks_go_when_something_else_breaks() -> None:
    model = plain()
    with pytest.raises(KeyError), injected(model, Crash(count=1), torch.ones(1, 3)):
        raise KeyError
    assert not hooks(model)
    with pytest.raises(ParameterError), injected(model, Crash(count=7), torch.ones(1, 3)):
        pytest.fail("Layer 1 has 6 neurons.")
    assert not hooks(model)


def test_exactly_so_many_neurons_crash() -> None:
    model = nn.Sequential(nn.Linear(1, 9), nn.Sigmoid(), nn.Linear(9, 9)).eval()
    nn.init.eye_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    with injected(model, Crash(count=4), torch.ones(2, 1), draws=50) as drawn:
        outputs = model(torch.ones(2, 1))
    assert ((outputs == 0).sum(-1) == 4).all()
    keep = drawn.neurons[1].keep
    assert 0 < keep.sum(0).min() <= keep.sum(0).max() < 50


def test_one_draw_keeps_the_shape_and_lasts() -> None:
    model, inputs = plain(), torch.randn(4, 3)
    with injected(model, Crash(count=2), inputs):
        first, again = model(inputs), model(inputs[:1])
    assert first.shape == (4, 2)
    torch.testing.assert_close(first[:1], again)


class Branched(nn.Module):
    """A module that is no chain, calls one activation twice, and another as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.activation = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        held = self.activation(self.first(inputs))
        return self.last(held + self.activation(self.second(held)))


def test_any_module_can_be_struck() -> None:
    torch.manual_seed(2)
    model, inputs = Branched().eval(), torch.randn(3, 3)
    bias = model.last(model.second.bias.relu()).expand(3, 2)
    with injected(model, Crash(count=(4, 0)), inputs):
        struck = model(inputs)
    torch.testing.assert_close(struck, bias)
    held = model.activation(model.first(inputs))
    with injected(model, Crash(count=(0, 4)), inputs):
        struck = model(inputs)
    torch.testing.assert_close(struck, model.last(held))
    with injected(model, Byzantine(0.5, count=(0, 1)), inputs, draws=4):
        assert model(inputs).shape == (4, 3, 2)


class Functional(Branched):
    """One whose activations cannot be hooked."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.second(self.first(inputs).relu()).relu())


def test_neurons_can_be_named() -> None:
    model, inputs = Functional().eval(), torch.randn(3, 3)
    with injected(model, StuckAt(0.0, count=4), inputs, at=("second",)):
        torch.testing.assert_close(model(inputs), model.last.bias.expand(3, 2))
    with (
        pytest.raises(ParameterError, match="no module 'third'"),
        injected(model, Crash(count=1), inputs, at=("third",)),
    ):
        pass


def test_training_is_refused() -> None:
    with (
        pytest.raises(ParameterError, match=r"call model\.eval"),
        injected(plain().train(), Crash(count=1), torch.ones(1, 3)),
    ):
        pass


def test_the_catalogue_has_every_fault() -> None:
    def below(kind: type) -> set[type]:
        return {one for sub in kind.__subclasses__() for one in {sub} | below(sub)}

    assert set(FAULTS) == {kind for kind in below(Fault) if kind.__module__.startswith("varangian.")}


@pytest.mark.parametrize("fault", EVERY, ids=repr)
def test_a_fault_is_a_value(fault: Fault) -> None:
    assert eval(repr(fault)) == fault
    assert hash(fault) == hash(eval(repr(fault)))
