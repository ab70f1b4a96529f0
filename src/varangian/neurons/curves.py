"""Errors against the number of crashes in a layer: proven, found, and to be expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.core.values import Value
from varangian.neurons.bounds import fep
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.faults import Crash
from varangian.neurons.harmed import Errors
from varangian.neurons.measure import Mean, measure
from varangian.neurons.moments import moves
from varangian.neurons.search import worst_crash

MOST_TRIED = 5000
"""So many sets the search tries for each point."""
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Point(Value):
    """So many crashes in a layer: the bound, the worst found and the mean of the largest error of an output.

    ``accuracy`` is the mean share of inputs classified right, ``worst_accuracy`` that in the worst case.
    """

    layer: int
    count: int
    bound: float
    worst: float
    mean: Mean
    accuracy: Mean
    worst_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def crash_curve(
    evaluation: Evaluation,
    few: Evaluation,
    labels: Tensor,
    layer: int,
    *,
    counts: Sequence[int] = (),
    draws: int = 200,
    loss: str = "nll",
    stream: Stream | None = None,
) -> tuple[Point, ...]:
    """Return a point for each number of crashes in a layer.

    The worst crashes are searched for on the ``few`` inputs of another evaluation, and then tried on all.
    """
    network = evaluation.network
    size = network.hidden[layer - 1].neurons
    points = []
    for count in counts or [step for step in STEPS if step <= max(1, size // 2)]:
        each = tuple(count if number == layer else 0 for number in range(1, len(network.hidden) + 1))
        fault = Crash(count=each)
        drawn = measure(evaluation, fault, draws, labels=labels, loss=loss, stream=stream)
        found = worst_crash(few, each, starts=2, sweeps=2, most=MOST_TRIED).neurons[layer - 1]
        worst = Errors.of(
            evaluation.faulty(crashed(evaluation, layer, found)), evaluation.outputs, labels, loss
        )
        if drawn.accuracy is None or worst.accuracy is None:
            raise TypeError("Errors with labels have an accuracy.")
        points.append(
            Point(
                layer=layer,
                count=count,
                bound=fep(network, fault).value,
                worst=max(float(worst.largest[0]), drawn.largest.worst),
                mean=drawn.largest,
                accuracy=drawn.accuracy,
                worst_accuracy=min(float(worst.accuracy[0]), drawn.accuracy.worst),
            )
        )
    return tuple(points)


def crashed(evaluation: Evaluation, layer: int, places: Sequence[int]) -> Drawn:
    """Return the one draw in which these neurons of a layer crash, and no others."""
    keep = torch.ones(1, evaluation.network.hidden[layer - 1].neurons, dtype=evaluation.outputs.dtype)
    keep[0, list(places)] = 0
    return Drawn(1, {layer: Affine(keep)})


@dataclass(frozen=True)
class Critical(Value):
    """A neuron (counted from 0) that crashes alone: the mean error of the outputs, and what it costs."""

    layer: int
    neuron: int
    error: float
    loss: float
    accuracy_lost: float


def critical_neurons(
    evaluation: Evaluation, labels: Tensor, *, most: int = 10, tried: int = 128, loss: str = "nll"
) -> tuple[Critical, ...]:
    """Return the neurons whose crash moves the outputs most, the worst first.

    The error is the mean over inputs of the largest of an output; ``loss`` is how much the mean loss grows.
    Of larger layers than ``tried``, those neurons are tried that move the outputs most to first order.
    """
    before = Errors.of(evaluation.outputs[None], evaluation.outputs, labels, loss)
    found = []
    for layer in evaluation.network.hidden:
        places = torch.arange(layer.neurons)
        if layer.neurons > tried:
            sent = evaluation.values[layer.site + 1][:64].detach().requires_grad_(True)
            moved = moves(evaluation.network.modules[layer.site + 1 :], sent).abs().mean((0, 1))
            places = moved.topk(tried).indices
        for some in places.split(evaluation.room()):
            keep = (some[:, None] != torch.arange(layer.neurons)).to(evaluation.outputs.dtype)
            faulty = evaluation.faulty(Drawn(len(some), {layer.number: Affine(keep)}))
            errors = Errors.of(faulty, evaluation.outputs, labels, loss)
            if (
                errors.loss is None
                or errors.accuracy is None
                or before.loss is None
                or before.accuracy is None
            ):
                raise TypeError("Errors with labels have a loss and an accuracy.")
            rows = zip(
                some.tolist(),
                errors.typical.tolist(),
                (errors.loss - before.loss).tolist(),
                (before.accuracy - errors.accuracy).tolist(),
                strict=True,
            )
            found += [Critical(layer.number, *row) for row in rows]
    return tuple(sorted(found, key=lambda one: -one.error)[:most])
