"""Errors against the Lipschitz constant, and against the depth of the layer that fails, with lines."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from varangian.core.randomness import Stream
from varangian.core.values import Value
from varangian.errors import ParameterError
from varangian.neurons.activations import Steep, facts
from varangian.neurons.bounds import fep
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.faults import Byzantine
from varangian.neurons.measure import Mean, measure
from varangian.neurons.modules import LINEAR, chain_of
from varangian.neurons.network import Network

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Line(Value):
    """A least-squares line: its slope, and the share of the variance that it explains (R squared)."""

    slope: float
    quality: float

    @classmethod
    def through(cls, x: Sequence[float], y: Sequence[float]) -> Line:
        """Return the line through points; a level one explains what there is to explain.

        >>> Line.through([0, 1, 2], [1, 3, 5])
        Line(slope=2.0, quality=1.0)
        """
        middle, height = math.fsum(x) / len(x), math.fsum(y) / len(y)
        across = math.fsum((one - middle) ** 2 for one in x)
        up = math.fsum((one - height) ** 2 for one in y)
        both = math.fsum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
        return cls(both / across, both**2 / (across * up) if up else 1.0)

    def __str__(self) -> str:
        return f"{self.slope:.2f} (R² {self.quality:.2f})"


@dataclass(frozen=True, eq=False)
class Steepness:
    """The error of one Byzantine neuron, by the Lipschitz constant and by its layer: measured, and bounded.

    ``factors`` are what the activations' slopes were multiplied by, ``constants`` the Lipschitz constants
    that this made; ``errors`` and ``bounds`` have a row for each, and a column for each layer. Factors up to
    ``flat`` decide the powers: above, a bounded activation is full, and passes less than its slope on.
    """

    factors: tuple[float, ...]
    constants: tuple[float, ...]
    errors: tuple[tuple[Mean, ...], ...]
    bounds: tuple[tuple[float, ...], ...]
    flat: float = math.inf

    def by_layer(self) -> tuple[Line, ...]:
        """Return, for each layer, the power of the Lipschitz constant with which the error grows."""
        rows = [row for factor, row in zip(self.factors, self.errors, strict=True) if factor <= self.flat]
        logs = [math.log(constant) for constant in self.constants[: len(rows)]]
        return tuple(
            Line.through(logs, [math.log(row[layer].value) for row in rows]) for layer in range(len(rows[0]))
        )

    def by_depth(self) -> tuple[Line, ...]:
        """Return, for each constant, by how much the logarithm of the error grows with each layer passed."""
        layers = len(self.errors[0])
        depths = [layers - layer for layer in range(1, layers + 1)]
        return tuple(Line.through(depths, [math.log(one.value) for one in row]) for row in self.errors)

    def to_dict(self) -> dict[str, Any]:
        """Return the errors and the lines as plain values."""
        deep = len(self.errors[0]) > 1
        return {
            "factors": list(self.factors),
            "constants": list(self.constants),
            "flat": self.flat if math.isfinite(self.flat) else None,
            "errors": [[asdict(one) for one in row] for row in self.errors],
            "bounds": [list(row) for row in self.bounds],
            "power_of_the_constant": [asdict(line) for line in self.by_layer()],
            "growth_per_layer": [asdict(line) for line in self.by_depth()] if deep else [],
        }


def steepened(model: nn.Module, factor: float) -> nn.Sequential:
    """Return a copy of a chain whose hidden activations are so many times as steep. Raises ParameterError."""
    chain = chain_of(model)
    last = max((at for at, module in enumerate(chain) if type(module) in LINEAR), default=0)
    return nn.Sequential(
        *(
            Steep(copy.deepcopy(module), factor) if at < last and facts(module) else copy.deepcopy(module)
            for at, module in enumerate(chain)
        )
    )


def steepness(
    model: nn.Module,
    inputs: Float[Tensor, "batch *shape"],
    factors: Sequence[float] = FACTORS,
    *,
    capacity: float = 0.1,
    draws: int = 64,
    flat: float = math.inf,
    stream: Stream | None = None,
) -> Steepness:
    """Return what one Byzantine neuron does to a model, as its activations are made flatter and steeper.

    The weights stay as they are. An error is the mean, over draws and inputs, of the largest of an output.

    Randomness  from ``stream`` alone; the same neurons lie whatever the factor
    Raises      ParameterError, InputError
    """
    if len(factors) < 2 or min(factors) <= 0 or sorted(set(factors)) != list(factors):
        raise ParameterError(f"factors={tuple(factors)!r}: it takes at least two, positive, the least first.")
    constants, errors, bounds = [], [], []
    for factor in factors:
        network = Network.of(steepened(model, factor), inputs)
        evaluation = Evaluation.of(network, inputs)
        faults = [Byzantine(capacity, count=1, layers=(layer.number,)) for layer in network.hidden]
        constants.append(max(layer.lipschitz for layer in network.hidden))
        errors.append(tuple(measure(evaluation, one, draws, stream=stream).typical for one in faults))
        bounds.append(tuple(fep(network, one).value for one in faults))
    return Steepness(tuple(factors), tuple(constants), tuple(errors), tuple(bounds), flat)
