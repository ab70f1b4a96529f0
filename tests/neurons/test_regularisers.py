"""The terms are what they say, and models trained with them bear more."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from varangian.errors import InputError, ParameterError, UnknownNameError
from varangian.neurons import CrashVariance, Evaluation, LargestWeight, Network, b3, b4


def model() -> nn.Sequential:
    torch.manual_seed(6)
    return nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def samples() -> tuple[Tensor, Tensor]:
    torch.manual_seed(8)
    inputs = torch.randn(120, 4).double()
    return inputs, inputs[:, :3].argmax(1)


def test_the_term_is_the_variance_of_b3() -> None:
    inputs, labels = samples()
    evaluation = Evaluation.of(Network.of(model(), inputs), inputs)
    foretold = sum(b3(evaluation, layer, 0.02).variance.sum() for layer in (1, 2)) / len(inputs)
    torch.testing.assert_close(CrashVariance(3.0, 0.02)(model(), inputs).detach(), 3 * foretold)

    def loss(outputs: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, labels, reduction="none")

    foretold = sum(b3(evaluation, layer, 0.02, loss).variance.sum() for layer in (1, 2)) / len(inputs)
    term = CrashVariance(1.0, 0.02, of="cross_entropy")(model(), inputs, labels)
    torch.testing.assert_close(term.detach(), foretold)


def trained(term: CrashVariance | LargestWeight | None) -> tuple[float, Evaluation, nn.Sequential]:
    inputs, labels = samples()
    made = model()
    descent = torch.optim.Adam(made.parameters(), lr=0.02)
    for _ in range(120):
        descent.zero_grad()
        loss = nn.functional.cross_entropy(made(inputs), labels)
        if isinstance(term, CrashVariance):
            loss = loss + term(made, inputs)
        elif term is not None:
            loss = loss + term(made)
        loss.backward()
        descent.step()
    accuracy = float((made(inputs).argmax(1) == labels).double().mean())
    return accuracy, Evaluation.of(Network.of(made, inputs), inputs), made


def test_training_with_it_leaves_less_variance_at_the_same_accuracy() -> None:
    plain_accuracy, plain, _ = trained(None)
    accuracy, held, _ = trained(CrashVariance(0.5, 0.01))

    def variance(one: Evaluation) -> float:
        return float(sum(b4(one, layer, 0.01).variance.mean() for layer in (1, 2)))

    assert variance(held) < 0.5 * variance(plain)
    assert accuracy > plain_accuracy - 0.03


def test_smaller_weights_are_what_the_other_term_is_for() -> None:
    _, plain, _ = trained(None)
    accuracy, held, made = trained(LargestWeight(0.05))
    largest = [[layer.weight for layer in one.network.layers] for one in (held, plain)]
    assert all(less < more for less, more in zip(*largest, strict=True))
    assert accuracy > 0.9
    assert float(LargestWeight(2.0)(made)) == pytest.approx(2 * sum(largest[0]))


def test_refusals() -> None:
    inputs, _ = samples()
    with pytest.raises(ParameterError, match="strength"):
        CrashVariance(-1.0)
    with pytest.raises(UnknownNameError, match="outputs"):
        CrashVariance(1.0, of="output")
    with pytest.raises(InputError, match="needs labels"):
        CrashVariance(1.0, of="nll")(model(), inputs)
    with pytest.raises(ParameterError, match="no hidden activation"):
        CrashVariance(1.0)(nn.Sequential(nn.Linear(4, 2)).double(), inputs)
    with pytest.raises(ParameterError, match="no linear layer"):
        LargestWeight(1.0)(nn.Sequential(nn.Tanh()))
