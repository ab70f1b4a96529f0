"""All that is known of how a model bears faults of its parts, as one value: a chapter of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.core.randomness import Stream, as_stream
from varangian.core.values import Value
from varangian.errors import ParameterError
from varangian.neurons.bounds import assumptions, expected_error
from varangian.neurons.curves import Critical, Point, crash_curve, critical_neurons
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.fault import NEURONS, SYNAPSES
from varangian.neurons.faults import MOST_BITS, Crash, Quantised
from varangian.neurons.harmed import Errors
from varangian.neurons.measure import Mean, measure
from varangian.neurons.moments import b1, b2, b3, b4
from varangian.neurons.network import Network
from varangian.neurons.replicas import at_most, certify
from varangian.neurons.sampled import sampled
from varangian.neurons.steepness import FACTORS, Steepness, steepness
from varangian.neurons.tolerance import (
    Tolerated,
    bits_needed,
    error_budget,
    margins,
    speedup,
    tolerated,
    tolerated_alone,
)

FEW, FEWEST, WORK = 64, 8, 20_000
"""So many inputs serve searches and derivatives: inputs times neurons are WORK, within these ends."""
REPLICAS = (1, 3, 5, 11, 21, 51)


@dataclass(frozen=True)
class Bits(Value):
    """How few bits do: proven to stay within the budget, and measured; None if more than 24 are needed."""

    of: str
    proven: int | None
    measured: int | None


@dataclass(frozen=True)
class Deviation(Value):
    """Random crashes of one layer: the standard deviation of an output, as measured and as foretold.

    Each is the root of the mean variance over inputs and outputs, before a softmax; ``b1`` the mean over
    inputs of the bound on the 2-norm of the mean error.
    """

    layer: int
    measured: float
    b1: float
    b2: float
    b3: float
    b4: float


@dataclass(frozen=True, eq=False)
class Report:
    """How a model bears faults of its parts: bounds beside measurements, and what follows for its use."""

    model: str
    parameters: int
    neurons: tuple[int, ...]
    lipschitz: tuple[float, ...]
    weights: tuple[float, ...]
    inputs: int
    accuracy: float
    assumptions: tuple[str, ...]
    curves: tuple[Point, ...]
    critical: tuple[Critical, ...]
    lost: float
    budget: float
    alone: tuple[int, ...]
    together: Tolerated
    speedup: float
    bits: tuple[Bits, ...]
    probability: float
    expected: float
    random: Mean
    deviations: tuple[Deviation, ...]
    replicas: tuple[tuple[int, float], ...]
    target: float
    steepness: Steepness

    title = "Parts of the model"

    def borne(self, layer: int) -> tuple[int, int]:
        """Return how many crashes of a layer cost no more than ``lost`` accuracy: at worst, and on average.

        Both are measured, at the numbers of crashes that the curves show: up to so many, none costs more; 0
        where the fewest do.
        """
        points = [point for point in self.curves if point.layer == layer]
        least = self.accuracy - self.lost - 1e-9
        worst = [point.count for point in takewhile(lambda point: point.worst_accuracy >= least, points)]
        mean = [point.count for point in takewhile(lambda point: point.accuracy.value >= least, points)]
        return max(worst, default=0), max(mean, default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values; what is not finite is None."""
        told = {
            name: value
            for name, value in vars(self).items()
            if name not in ("curves", "critical", "together", "bits", "random", "deviations", "steepness")
        }
        told |= {
            "curves": [point.to_dict() for point in self.curves],
            "critical": [asdict(one) for one in self.critical],
            "together": asdict(self.together),
            "bits": [asdict(one) for one in self.bits],
            "random": asdict(self.random),
            "deviations": [asdict(one) for one in self.deviations],
            "steepness": self.steepness.to_dict(),
        }
        plain: dict[str, Any] = _plain(told)
        return plain


def examine(
    model: nn.Module,
    inputs: Float[Tensor, "batch *shape"],
    labels: Tensor,
    *,
    name: str = "",
    lost: float = 0.01,
    probability: float = 0.001,
    draws: int = 200,
    target: float = 1e-5,
    factors: Sequence[float] = FACTORS,
    stream: Stream | None = None,
) -> Report:
    """Return how a model, a chain of layers, bears faults: curves, critical neurons, budgets, replicas.

    ``lost`` is the share of the accuracy that may go, ``probability`` that of a neuron to crash at random,
    ``target`` how often the median of replicas may be wrong.

    Cost        seconds for a perceptron; searches and derivatives use the first 64 inputs or fewer
    Randomness  from ``stream`` alone
    Raises      ParameterError for a model without bounds; InputError
    """
    stream = as_stream(stream)
    network = Network.of(model, inputs)
    if network.classes < 2:
        raise ParameterError("The model has one output; a report needs one for each class.")
    loss = "nll" if any(isinstance(module, nn.LogSoftmax) for module in network.modules) else "cross_entropy"
    some = max(FEWEST, min(FEW, WORK // sum(layer.neurons for layer in network.hidden)))
    evaluation, few = Evaluation.of(network, inputs), Evaluation.of(network, inputs[:some])
    right = Errors.of(evaluation.outputs[None], evaluation.outputs, labels, loss).accuracy
    budget = error_budget(evaluation, labels, lost)
    finite = budget if math.isfinite(budget) else float(evaluation.outputs.abs().max())
    together = tolerated(network, Crash(count=1), finite)
    random = Crash(probability=probability)
    logits = nn.Sequential(*network.modules[: network.layers[-1].linear + 1])
    bare = Evaluation.of(Network.of(logits, inputs[:some]), inputs[:some])
    return Report(
        model=name or type(model).__name__,
        parameters=network.parameters,
        neurons=tuple(layer.neurons for layer in network.hidden),
        lipschitz=tuple(layer.lipschitz for layer in network.hidden),
        weights=tuple(layer.weight for layer in network.layers),
        inputs=len(inputs),
        accuracy=math.nan if right is None else float(right[0]),
        assumptions=assumptions(network),
        curves=tuple(
            point
            for layer in network.hidden
            for point in crash_curve(
                evaluation, few, labels, layer.number, draws=draws, loss=loss, stream=stream.at("curve")
            )
        ),
        critical=critical_neurons(evaluation, labels, loss=loss),
        lost=lost,
        budget=budget,
        alone=tolerated_alone(network, Crash(count=1), finite),
        together=together,
        speedup=speedup([layer.neurons for layer in network.hidden], together.counts),
        bits=tuple(_bits(evaluation, labels, finite, lost, of) for of in (NEURONS, SYNAPSES)),
        probability=probability,
        expected=expected_error(network, random).value,
        random=measure(evaluation, random, draws, stream=stream.at("random")).typical,
        deviations=tuple(
            _deviation(bare, layer.number, probability, 20 * draws, stream) for layer in network.hidden
        ),
        replicas=_replicated(evaluation, labels, random, draws, target, stream.at("copies")),
        target=target,
        steepness=steepness(model, inputs[:some], factors, stream=stream.at("steepness")),
    )


def _bits(evaluation: Evaluation, labels: Tensor, epsilon: float, lost: float, of: str) -> Bits:
    """Return how few bits are proven, and measured, to cost no more than the budget."""
    true = Errors.of(evaluation.outputs[None], evaluation.outputs, labels, "cross_entropy").accuracy
    measured = None
    for bits in range(1, MOST_BITS + 1):
        rounded = measure(evaluation, Quantised(bits, of=of), 1, labels=labels, loss="cross_entropy").accuracy
        if true is None or rounded is None or rounded.value >= float(true[0]) - lost:
            measured = bits
            break
    return Bits(of, bits_needed(evaluation.network, epsilon, of), measured)


def _deviation(bare: Evaluation, layer: int, probability: float, draws: int, stream: Stream) -> Deviation:
    found = [
        sampled(bare, layer, probability, draws, stream),
        b2(bare, layer, probability),
        b3(bare, layer, probability),
        b4(bare, layer, probability),
    ]
    measured, second, third, fourth = (math.sqrt(float(one.variance.mean())) for one in found)
    return Deviation(layer, measured, float(b1(bare, layer, probability).mean()), second, third, fourth)


def _replicated(
    evaluation: Evaluation, labels: Tensor, fault: Crash, draws: int, target: float, stream: Stream
) -> tuple[tuple[int, float], ...]:
    """Return, for each number of replicas, the share of inputs whose class is certified.

    A copy is wrong on an input if an output is off by half of the margin, or more.
    """
    room = margins(evaluation, labels) / 2
    sites, wires = evaluation.sites, evaluation.wires
    wrong = torch.zeros(len(room), dtype=torch.long)
    for number in range(draws):
        # One draw at a time: what counts is each input of each draw, which need not be kept.
        faulty = evaluation.faulty(fault.draw(sites, wires, 1, stream.at("copy", number=number)))
        off = (faulty[0] - evaluation.outputs).abs().flatten(1).amax(1)
        wrong += ~(off < room)
    rates = {count: at_most(count, draws) for count in set(wrong.tolist())}
    found = []
    for replicas in REPLICAS:
        sure = [certify(rates[count], replicas).certified <= target for count in wrong.tolist()]
        found.append((replicas, sum(sure) / len(sure)))
    return tuple(found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
