"""What a budget of errors buys: how many faults, how few bits, how many neurons that nobody waits for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.core.values import Value
from varangian.errors import ParameterError
from varangian.neurons.bounds import fep
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.fault import NEURONS, Fault
from varangian.neurons.faults import MOST_BITS, Quantised
from varangian.neurons.measure import check_labels
from varangian.neurons.modules import HEADS, SILENT
from varangian.neurons.network import Network

MOST_ADDED = 2000
"""So many faults are added one by one, at most, where no exact search is known."""


def error_budget(evaluation: Evaluation, labels: Tensor, lost: float) -> float:
    """Return the largest error of an output that cannot cost more than a share ``lost`` of the accuracy.

    An input that is classified right stays so while the errors of the logits are less than half of its
    margin, the distance to the next largest. The budget is of the outputs, as ``fep`` is: after a softmax, in
    whose bound the error of a logit was stretched already. It is infinite where all accuracy may go.

    Raises      InputError; ParameterError for a model with a single output
    """
    if not 0 <= lost <= 1:
        raise ParameterError(f"lost={lost!r}: a share of the accuracy lies between 0 and 1.")
    logits, stretch = _logits(evaluation)
    sorted_margins = _margins(evaluation, logits, labels).sort(descending=True).values
    right = int((sorted_margins > 0).sum())
    kept = max(0, right - math.floor(lost * len(sorted_margins) + 1e-9))
    if not kept:
        return math.inf
    return math.nextafter(float(sorted_margins[kept - 1]) / 2, 0.0) * stretch


def margins(evaluation: Evaluation, labels: Tensor) -> Float[Tensor, " batch"]:
    """Return the distance of the label's output to the largest other; negative where an input is wrong."""
    return _margins(evaluation, evaluation.outputs.flatten(1), labels)


def _margins(evaluation: Evaluation, outputs: Tensor, labels: Tensor) -> Float[Tensor, " batch"]:
    check_labels(evaluation, labels)
    if evaluation.network.classes < 2:
        raise ParameterError("A model with one output has no margins; say how large an error it may have.")
    own = outputs.gather(1, labels[:, None]).squeeze(1)
    others = outputs.scatter(1, labels[:, None], -torch.inf).amax(1)
    return (own - others).double()


def _logits(evaluation: Evaluation) -> tuple[Float[Tensor, "batch classes"], float]:
    """Return outputs whose differences decide, and how much later modules stretch a bound on their error."""
    network = evaluation.network
    last = network.layers[-1].linear
    after = network.modules[last + 1 :]
    if all(isinstance(module, (*SILENT, *HEADS)) for module in after):
        return evaluation.values[last + 1].flatten(1), network.head
    return evaluation.outputs.flatten(1), 1.0


@dataclass(frozen=True)
class Tolerated(Value):
    """How many faults of each layer a bound allows, together, and what it is for them."""

    counts: tuple[int, ...]
    bound: float
    epsilon: float

    @property
    def total(self) -> int:
        """Return the number of faults."""
        return sum(self.counts)


def tolerated_alone(network: Network, fault: Fault, epsilon: float) -> tuple[int, ...]:
    """Return, for each layer, how many of its parts may fail if all others are sound: FEP <= epsilon.

    ``fault`` says which kind; its counts do not matter. Raises ParameterError.
    """
    sizes = _sizes(network, fault)
    return tuple(
        _largest(size, lambda count, at=at: _bound(network, fault, _one(len(sizes), at, count)) <= epsilon)  # type: ignore[misc]
        for at, size in enumerate(sizes)
    )


def tolerated(network: Network, fault: Fault, epsilon: float) -> Tolerated:
    """Return the most faults that a network provably bears at once, over all layers: FEP <= epsilon.

    Exact for faults of neurons in fully connected networks: the error of a layer grows with that of the one
    before, so that the least for each number of faults so far is all there is to know. Elsewhere, faults are
    added one by one where they cost least.

    Raises      ParameterError
    """
    if not epsilon >= 0:
        raise ParameterError(f"epsilon={epsilon!r}: an error is 0 or more.")
    sizes = _sizes(network, fault)
    dense = all(isinstance(network.modules[layer.linear], nn.Linear) for layer in network.layers)
    if fault.of == NEURONS and dense and _replaces(network, fault):
        counts = _planned(network, fault, epsilon, sizes)
    else:
        counts = _added(network, fault, epsilon, sizes)
    return Tolerated(counts, _bound(network, fault, counts), epsilon)


def _planned(network: Network, fault: Fault, epsilon: float, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the counts of the largest total, layer by layer: s' = f C + (N - f) K w s."""
    least = np.zeros(1)
    taken: list[np.ndarray] = []
    for layer, size in zip(network.hidden, sizes, strict=True):
        off = fault.harm(layer.low, layer.high, layer.weight, 0.0).size
        passed = layer.lipschitz * layer.weight * least
        found = np.full(len(least) + size, np.inf)
        choice = np.zeros(len(found), dtype=np.int64)
        for count in range(size + 1):
            error = count * off + (size - count) * passed
            here = found[count : count + len(least)]
            better = error < here
            here[better] = error[better]
            choice[count : count + len(least)][better] = count
        least = found
        taken.append(choice)
    stretch = network.head * network.layers[-1].weight
    total = int(np.flatnonzero(stretch * least <= epsilon).max())
    counts = []
    for choice in reversed(taken):
        counts.append(int(choice[total]))
        total -= counts[-1]
    return tuple(reversed(counts))


def _added(network: Network, fault: Fault, epsilon: float, sizes: Sequence[int]) -> tuple[int, ...]:
    counts = [0] * len(sizes)
    for _ in range(MOST_ADDED):
        more = [
            tuple(count + (at == number) for at, count in enumerate(counts))
            for number, size in enumerate(sizes)
            if counts[number] < size
        ]
        bounds = [_bound(network, fault, one) for one in more]
        if not more or min(bounds) > epsilon:
            break
        counts = list(more[bounds.index(min(bounds))])
    return tuple(counts)


def bits_needed(network: Network, epsilon: float, of: str = NEURONS) -> int | None:
    """Return the fewest bits for everything that neurons send, or for all weights: FEP <= epsilon.

    None where more than 24 would be needed. Rounding is a fault of every part, by half a step.
    """
    return next(
        (bits for bits in range(1, MOST_BITS + 1) if fep(network, Quantised(bits, of=of)).value <= epsilon),
        None,
    )


def speedup(sizes: Sequence[int], tolerated: Sequence[int]) -> float:
    """Return how many times as fast layers are that do not wait for their slowest neurons.

    Each neuron answers after a time of its own, exponentially distributed: the last of N is expected after
    1 + 1/2 + ... + 1/N, and so many of the last summands are not waited for as faults are tolerated. Infinite
    where nobody is waited for.

    >>> round(speedup([100], [10]), 2)
    2.3
    """
    waited = sum(_harmonic(size) for size in sizes)
    needed = sum(_harmonic(size) - _harmonic(count) for size, count in zip(sizes, tolerated, strict=True))
    return waited / needed if needed > 0 else math.inf


def _harmonic(n: int) -> float:
    return math.fsum(1 / k for k in range(1, n + 1))


def _bound(network: Network, fault: Fault, counts: tuple[int, ...]) -> float:
    return fep(network, replace(fault, count=counts, probability=None, layers=())).value


def _replaces(network: Network, fault: Fault) -> bool:
    return all(fault.harm(at.low, at.high, at.weight, 0.0).replaces for at in network.hidden)


def _one(length: int, place: int, count: int) -> tuple[int, ...]:
    return tuple(count if at == place else 0 for at in range(length))


def _sizes(network: Network, fault: Fault) -> list[int]:
    if fault.everywhere:
        raise ParameterError(f"{fault!r} strikes everything; ask for bits_needed.")
    if fault.of == NEURONS:
        return [layer.neurons for layer in network.hidden]
    return [layer.synapses for layer in network.layers]


def _largest(most: int, holds: Callable[[int], bool]) -> int:
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
