"""Monte-Carlo: the errors of many draws of a fault, and intervals in which their mean lies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from varangian.core.randomness import Stream, as_stream
from varangian.core.values import Value
from varangian.errors import InputError, ParameterError
from varangian.neurons.changes import Drawn
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.fault import NEURONS, Fault
from varangian.neurons.harmed import Errors

GROUP = 64
"""Draws share a stream in groups of so many, or fewer where a model has many parts."""
MOST_PARTS = 2**24
NORMAL = 1.959964
"""Within so many deviations lies a normal value in 95 of 100 cases."""


@dataclass(frozen=True)
class Mean(Value):
    """A mean over draws, the interval in which it lies with 95 % confidence, and the ``worst`` draw."""

    value: float
    low: float
    high: float
    worst: float

    @classmethod
    def of(cls, draws: Float[Tensor, " draws"], *, largest: bool = True) -> Mean:
        """Return the mean of values; the worst is the ``largest``, or else the smallest.

        >>> import torch
        >>> Mean.of(torch.tensor([1.0, 3.0]))
        Mean(value=2.0, low=0.0400..., high=3.9599..., worst=3.0)
        """
        values = draws.double()
        mean = float(values.mean())
        wide = NORMAL * float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        wide = wide if math.isfinite(mean) else math.nan
        return cls(mean, mean - wide, mean + wide, float(values.max() if largest else values.min()))


@dataclass(frozen=True, eq=False)
class Measured:
    """What a fault did in many draws: all errors, and their means."""

    fault: Fault
    draws: int
    errors: Errors

    @property
    def largest(self) -> Mean:
        """Return the largest error of an output on any input."""
        return Mean.of(self.errors.largest)

    @property
    def typical(self) -> Mean:
        """Return the mean over inputs of the largest error of an output."""
        return Mean.of(self.errors.typical)

    @property
    def loss(self) -> Mean | None:
        """Return the mean loss; None without labels."""
        return None if self.errors.loss is None else Mean.of(self.errors.loss)

    @property
    def accuracy(self) -> Mean | None:
        """Return the share of inputs that is classified right; None without labels."""
        return None if self.errors.accuracy is None else Mean.of(self.errors.accuracy, largest=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the means as plain values."""
        named = {name: getattr(self, name) for name in ("largest", "typical", "loss", "accuracy")}
        means = {name: asdict(mean) for name, mean in named.items() if mean is not None}
        return {"fault": repr(self.fault), "draws": self.draws, **means}


def measure(
    evaluation: Evaluation,
    fault: Fault,
    draws: int,
    *,
    labels: Tensor | None = None,
    loss: str = "nll",
    stream: Stream | None = None,
) -> Measured:
    """Return what a fault does in so many draws, on all inputs of an evaluation.

    Cost        what the fault cannot touch is computed once; draws are evaluated side by side
    Randomness  from ``stream`` alone; a draw does not depend on how many there are
    Raises      ParameterError, InputError

    >>> import torch
    >>> from torch import nn
    >>> from varangian.neurons.faults import Crash
    >>> from varangian.neurons.network import Network
    >>> model = nn.Sequential(nn.Linear(2, 9), nn.ReLU(), nn.Linear(9, 3))
    >>> inputs = torch.ones(5, 2)
    >>> measured = measure(Evaluation.of(Network.of(model, inputs), inputs), Crash(count=9), draws=7)
    >>> bool((measured.errors.largest == measured.largest.worst).all())
    True
    """
    if isinstance(draws, bool) or draws < 1:
        raise ParameterError(f"measure(draws={draws!r}): draws is a number of at least 1.")
    check_labels(evaluation, labels)
    outputs = evaluation.outputs
    errors = Errors.joined(
        Errors.of(evaluation.faulty(drawn), outputs, labels, loss)
        for drawn in drawings(evaluation, fault, draws, as_stream(stream))
    )
    return Measured(fault, draws, errors)


def check_labels(evaluation: Evaluation, labels: Tensor | None) -> None:
    """Refuse labels that are not one for each input. Raises InputError."""
    if labels is None:
        return
    inputs, outputs = len(evaluation.outputs), evaluation.network.classes
    if labels.shape != (inputs,):
        raise InputError(
            f"{inputs} inputs and labels of shape {tuple(labels.shape)}; give one label for each."
        )
    if outputs > 1 and not 0 <= int(labels.min()) <= int(labels.max()) < outputs:
        raise InputError(f"Labels reach {int(labels.max())}; the model has {outputs} outputs, from 0.")


def drawings(evaluation: Evaluation, fault: Fault, draws: int, stream: Stream) -> Iterator[Drawn]:
    """Yield the draws of a fault, as many together as find room."""
    room = evaluation.room()
    parts = [site.neurons for site in evaluation.sites]
    if fault.of != NEURONS:
        parts = [wires.weight.numel() for wires in evaluation.wires]
    group = max(1, min(GROUP, MOST_PARTS // sum(parts)))
    for number in range(0, draws, group):
        some = min(group, draws - number)
        whole = fault.draw(evaluation.sites, evaluation.wires, group, stream.at("draws", first=number))
        for start in range(0, some, room):
            yield whole.part(start, min(start + room, some))
