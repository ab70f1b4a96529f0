"""The search finds the worst crashes where all sets can be tried."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from varangian.errors import InputError, ParameterError, UnknownNameError
from varangian.neurons import Evaluation, Network, worst_crash
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.harmed import Errors
from varangian.neurons.search import OBJECTIVES

CASES, AT_LEAST = 200, 0.95


def evaluation(seed: int) -> Evaluation:
    """Return a random small network, of one to three hidden layers, and inputs."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(4, 8, (1 + seed % 3,), generator=generator).tolist()
    activation = (nn.Sigmoid, nn.ReLU, nn.Tanh)[seed // 3 % 3]
    modules: list[nn.Module] = []
    for size, following in itertools.pairwise([3, *sizes]):
        modules += [nn.Linear(size, following), activation()]
    model = nn.Sequential(*modules, nn.Linear(sizes[-1], 2)).double()
    for values in model.parameters():
        values.data = torch.randn(values.shape, generator=generator).double()
    inputs = torch.randn(1 + seed % 4, 3, generator=generator).double()
    return Evaluation.of(Network.of(model, inputs), inputs)


def counts_of(seed: int, layers: int) -> tuple[int, ...]:
    """Return crashes in one layer, or in all."""
    return tuple(2 + seed % 2 if number == seed % layers else (seed // 6) % 2 for number in range(layers))


def errors_of_all(held: Evaluation, counts: tuple[int, ...], labels: Tensor) -> Errors:
    """Return what every set of so many crashes does."""
    sizes = [layer.neurons for layer in held.network.hidden]
    choices = [
        list(itertools.combinations(range(size), count)) for size, count in zip(sizes, counts, strict=True)
    ]
    keep = [[] for _ in sizes]
    for chosen in itertools.product(*choices):
        for layer, places in enumerate(chosen):
            row = torch.ones(sizes[layer]).double()
            row[list(places)] = 0
            keep[layer].append(row)
    changes = {number: Affine(torch.stack(rows)) for number, rows in enumerate(keep, 1)}
    return Errors.of(held.faulty(Drawn(len(keep[0]), changes)), held.outputs, labels, "cross_entropy")


def test_it_finds_the_worst_set_nearly_always() -> None:
    found = 0
    for seed in range(CASES):
        held = evaluation(seed)
        counts = counts_of(seed, len(held.network.hidden))
        labels = torch.zeros(len(held.outputs), dtype=torch.long)
        truth = float(errors_of_all(held, counts, labels).largest.max())
        error = worst_crash(held, counts).error
        assert error <= truth * (1 + 1e-9)
        found += error >= truth * (1 - 1e-9)
    print(f"{found} of {CASES} worst sets found")
    assert found >= AT_LEAST * CASES


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_other_objectives(objective: str) -> None:
    found = 0
    for seed in range(12):
        held = evaluation(seed)
        counts = counts_of(seed, len(held.network.hidden))
        labels = held.outputs.argmax(1)
        errors = errors_of_all(held, counts, labels)
        worst = {
            "largest": errors.largest.max(),
            "typical": errors.typical.max(),
            "loss": errors.loss.max(),
            "accuracy": 1 - errors.accuracy.min(),
        }[objective]
        made = worst_crash(held, counts, objective=objective, labels=labels, loss="cross_entropy")
        found += made.error >= float(worst) * (1 - 1e-9)
        assert [len(places) for places in made.neurons] == list(counts)
    assert found >= 10


def test_refusals() -> None:
    held = evaluation(0)
    with pytest.raises(ParameterError, match="cannot fail; it has"):
        worst_crash(held, 9)
    with pytest.raises(UnknownNameError, match="largest"):
        worst_crash(held, 1, objective="largset")
    with pytest.raises(ParameterError, match="needs labels"):
        worst_crash(held, 1, objective="loss")
    with pytest.raises(InputError, match="one label"):
        worst_crash(held, 1, objective="loss", labels=torch.zeros(9, dtype=torch.long))
