"""Models trained on purpose, of 1 to 4 hidden layers, to see whether errors grow as the theory says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from varangian.core.randomness import Stream, as_stream
from varangian.core.values import Value
from varangian.errors import UnknownNameError
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.moments import b3, b4
from varangian.neurons.network import Network
from varangian.neurons.sampled import sampled
from varangian.neurons.steepness import Steepness, steepness


class Kind(NamedTuple):
    """An activation, the gain of weights that suits it at the start, and the factors of its slope to try.

    Up to the factor ``flat`` it is nearly a line.
    """

    activation: type[nn.Module]
    gain: float
    factors: tuple[float, ...]
    flat: float


KINDS = {
    "sigmoid": Kind(nn.Sigmoid, 4.0, (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0), 1 / 8),
    "relu": Kind(nn.ReLU, math.sqrt(2.0), (1 / 4, 1 / 2, 1.0, 2.0, 4.0), math.inf),
}
DEPTHS = (1, 2, 3, 4)
BATCH, RATE = 128, 0.002


@dataclass(frozen=True)
class Foretold(Value):
    """The variance that random crashes of a layer cause, over its measured value: by b3, and by b4."""

    layer: int
    b3: float
    b4: float


@dataclass(frozen=True, eq=False)
class Studied:
    """One trained model: how right it is, how its errors grow, and how well b3 and b4 foretell a variance."""

    kind: str
    depth: int
    accuracy: float
    steepness: Steepness
    probability: float
    foretold: tuple[Foretold, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "kind": self.kind,
            "depth": self.depth,
            "accuracy": self.accuracy,
            "steepness": self.steepness.to_dict(),
            "probability": self.probability,
            "foretold": [asdict(one) for one in self.foretold],
        }


def trained(
    kind: str,
    hidden: Sequence[int],
    inputs: Float[Tensor, "samples *shape"],
    labels: Int64[Tensor, " samples"],
    *,
    steps: int = 600,
    stream: Stream | None = None,
) -> nn.Sequential:
    """Return a perceptron with these hidden layers, after so many steps of Adam on batches of 128.

    Randomness  from ``stream`` alone
    Raises      UnknownNameError
    """
    if kind not in KINDS:
        raise UnknownNameError("activation to train with", kind, KINDS)
    found = KINDS[kind]
    stream = as_stream(stream)
    sizes = [inputs[0].numel(), *hidden]
    modules: list[nn.Module] = [nn.Flatten()]
    with stream.at("model").instead_of_global():
        for size, following in pairwise(sizes):
            modules += [nn.Linear(size, following), found.activation()]
        modules.append(nn.Linear(sizes[-1], int(labels.max()) + 1))
        for module in modules:
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, gain=found.gain if module is not modules[-1] else 1.0)
                nn.init.zeros_(module.bias)
    model = nn.Sequential(*modules)
    descent = torch.optim.Adam(model.parameters(), lr=RATE)
    generator = stream.at("batches").generator()
    for _ in range(steps):
        some = torch.randint(len(inputs), (BATCH,), generator=generator)
        descent.zero_grad()
        nn.functional.cross_entropy(model(inputs[some]), labels[some]).backward()
        descent.step()
    return model.eval()


def study(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    kinds: Sequence[str] = tuple(KINDS),
    depths: Sequence[int] = DEPTHS,
    width: int = 50,
    steps: int = 600,
    probability: float = 1e-3,
    draws: int = 20_000,
    few: int = 100,
    stream: Stream | None = None,
) -> Iterator[Studied]:
    """Yield what becomes of a model of each kind and depth, trained on (inputs, labels), tested on others.

    Variances are measured on ``few`` inputs, in so many ``draws`` in which something crashes.

    Randomness  from ``stream`` alone
    Raises      UnknownNameError, ParameterError
    """
    stream = as_stream(stream)
    inputs, labels = test
    for kind in kinds:
        for depth in depths:
            here = stream.at(kind, depth=depth)
            model = trained(kind, [width] * depth, *train, steps=steps, stream=here)
            with torch.no_grad():
                accuracy = float((model(inputs).argmax(1) == labels).double().mean())
            evaluation = Evaluation.of(Network.of(model, inputs[:few]), inputs[:few])
            yield Studied(
                kind=kind,
                depth=depth,
                accuracy=accuracy,
                steepness=steepness(
                    model, inputs[:few], KINDS[kind].factors, flat=KINDS[kind].flat, stream=here
                ),
                probability=probability,
                foretold=tuple(
                    _foretold(evaluation, layer, probability, draws, here) for layer in range(1, depth + 1)
                ),
            )


def _foretold(evaluation: Evaluation, layer: int, probability: float, draws: int, stream: Stream) -> Foretold:
    measured = float(sampled(evaluation, layer, probability, draws, stream).variance.sum())
    third, fourth = (float(b(evaluation, layer, probability).variance.sum()) for b in (b3, b4))
    return Foretold(layer, third / measured, fourth / measured)
