"""The moments of what random crashes do, measured: draws in which nothing crashes are counted, not drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from varangian.core.randomness import Stream, as_stream
from varangian.errors import ParameterError
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.moments import Moments


def sampled(
    evaluation: Evaluation, layer: int, probability: float, draws: int, stream: Stream | None = None
) -> Moments:
    """Return mean and variance of what outputs are off by, of so many draws with at least one crash.

    With p = 0.001 and 100 neurons, nothing happens in 90 % of all draws: one that is drawn here stands for
    ten.

    Randomness  from ``stream`` alone
    Raises      ParameterError
    """
    if not 1 <= layer <= len(evaluation.network.hidden) or not 0 < probability < 1 or draws < 1:
        raise ParameterError(
            f"sampled(layer={layer}, probability={probability}, draws={draws}): of hidden layers there are "
            f"{len(evaluation.network.hidden)}; a probability lies between 0 and 1; draws are at least 1."
        )
    size = evaluation.network.hidden[layer - 1].neurons
    happens = -math.expm1(size * math.log1p(-probability))
    generator = as_stream(stream).at("sampled", layer=layer).generator()
    batch = len(evaluation.outputs)
    total, square = (torch.zeros(batch, evaluation.outputs[0].numel(), dtype=torch.float64) for _ in range(2))
    shares = _shares(size, probability)
    room = evaluation.room()
    for start in range(0, draws, room):
        some = min(room, draws - start)
        counts = torch.multinomial(shares, some, replacement=True, generator=generator) + 1
        order = torch.rand(some, size, generator=generator).argsort(1).argsort(1)
        keep = (order >= counts[:, None]).to(evaluation.outputs.dtype)
        faulty = evaluation.faulty(Drawn(some, {layer: Affine(keep)}))
        off = (faulty - evaluation.outputs).double().flatten(2)
        total += off.sum(0)
        square += off.square().sum(0)
    mean = happens * total / draws
    return Moments("sampled", mean, happens * square / draws - mean.square(), bound=False)


def _shares(size: int, probability: float) -> Tensor:
    """Return how likely 1, 2, ... crashes are, up to the fewest that leave out nothing worth a draw."""
    yes, no = math.log(probability), math.log1p(-probability)
    logs = [
        math.lgamma(size + 1) - math.lgamma(k + 1) - math.lgamma(size - k + 1) + k * yes + (size - k) * no
        for k in range(1, size + 1)
    ]
    most = max(logs)
    return torch.tensor([math.exp(log - most) for log in logs], dtype=torch.float64)
