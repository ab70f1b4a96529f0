"""Monte-Carlo: the same as a plain loop, and honest about how sure it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from varangian.core.randomness import Stream
from varangian.errors import InputError, ParameterError, UnknownNameError
from varangian.neurons import Byzantine, Crash, Evaluation, Mean, Network, injected, measure
from varangian.neurons.harmed import Errors


def case() -> tuple[nn.Sequential, Tensor, Tensor]:
    torch.manual_seed(7)
    model = nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3), nn.LogSoftmax(-1)
    )
    return model.eval(), torch.randn(20, 5), torch.randint(3, (20,))


@pytest.mark.parametrize("fault", [Crash(count=(2, 1)), Crash(count=(0, 3)), Byzantine(0.5, probability=0.2)])
def test_it_is_what_a_loop_measures(fault: Crash | Byzantine) -> None:
    model, inputs, labels = case()
    evaluation = Evaluation.of(Network.of(model, inputs), inputs)
    found = measure(evaluation, fault, 9, labels=labels, stream=Stream(4)).errors
    drawn = fault.draw(evaluation.sites, evaluation.wires, 64, Stream(4).at("draws", first=0)).part(0, 9)
    outputs = model(inputs).detach()
    for number in range(9):
        faulty = evaluation.faulty(drawn.part(number, number + 1))[0]
        off = (faulty - outputs).abs().amax(1)
        torch.testing.assert_close(found.largest[number], off.max())
        torch.testing.assert_close(found.typical[number], off.mean())
        torch.testing.assert_close(found.loss[number], nn.functional.nll_loss(faulty, labels))
        assert found.accuracy[number] == (faulty.argmax(1) == labels).double().mean()


def test_a_draw_does_not_depend_on_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs, _ = case()
    evaluation = Evaluation.of(Network.of(model, inputs), inputs)
    many = measure(evaluation, Crash(count=1), 150).errors.largest
    monkeypatch.setattr(Evaluation, "room", lambda _: 7)
    torch.testing.assert_close(measure(evaluation, Crash(count=1), 70).errors.largest, many[:70])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(400):
        mean = Mean.of(torch.rand(100, generator=generator))
        held += mean.low <= 0.5 <= mean.high
    assert 0.91 <= held / 400 <= 0.98


def test_outputs_that_are_no_numbers_are_infinitely_wrong() -> None:
    outputs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    faulty = outputs.repeat(3, 1, 1)
    faulty[0, 0, 1], faulty[1, 0, 0] = torch.nan, torch.inf
    errors = Errors.of(faulty, outputs, torch.tensor([0, 1]))
    assert errors.largest.tolist() == [torch.inf, torch.inf, 0.0]
    assert errors.accuracy is not None
    assert errors.accuracy.tolist() == [0.5, 0.5, 1.0]


def test_one_output_is_judged_by_distance() -> None:
    outputs = torch.tensor([[0.9], [0.2]])
    errors = Errors.of(outputs[None] + 0.2, outputs, torch.tensor([1, 0]), "mse")
    assert errors.accuracy is not None
    assert errors.loss is not None
    assert errors.accuracy.tolist() == [1.0]
    assert errors.loss.tolist() == pytest.approx([(0.1**2 + 0.4**2) / 2])


def test_hooks_and_measure_agree_on_a_mean() -> None:
    model, inputs, labels = case()
    found = measure(Evaluation.of(Network.of(model, inputs), inputs), Crash(count=1), 400, labels=labels)
    outputs = model(inputs).detach()
    with injected(model, Crash(count=1), inputs, draws=400, stream=Stream(99)):
        slow = Errors.of(model(inputs).detach(), outputs, labels)
    assert found.accuracy is not None
    assert slow.accuracy is not None
    assert found.accuracy.low - 0.02 <= float(slow.accuracy.mean()) <= found.accuracy.high + 0.02


def test_refusals() -> None:
    model, inputs, labels = case()
    evaluation = Evaluation.of(Network.of(model, inputs), inputs)
    with pytest.raises(ParameterError, match="at least 1"):
        measure(evaluation, Crash(count=1), 0)
    with pytest.raises(InputError, match="one label for each"):
        measure(evaluation, Crash(count=1), 1, labels=labels[:3])
    with pytest.raises(InputError, match="reach 3; the model has 3"):
        measure(evaluation, Crash(count=1), 1, labels=labels + 1)
    with pytest.raises(UnknownNameError, match="nll"):
        measure(evaluation, Crash(count=1), 1, labels=labels, loss="nil")
