"""What is known of an activation: how steep it is, and between which values it stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from varangian.errors import ParameterError


class Facts(NamedTuple):
    """The Lipschitz constant of an activation, and its range (infinite where it has no end)."""

    lipschitz: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Tell whether the range is finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)


class Steep(nn.Module):
    """An activation whose argument is multiplied by a slope: as many times as steep, of the same range.

    ``Steep(nn.Sigmoid(), 4 * K)`` is the K-Lipschitz sigmoid 1 / (1 + exp(-4 K x)) of the papers.

    >>> import torch
    >>> facts(Steep(nn.Sigmoid(), 4.0))
    Facts(lipschitz=1.0, low=0.0, high=1.0)
    >>> Steep(nn.ReLU(), 2.0)(torch.tensor([-1.0, 3.0]))
    tensor([0., 6.])
    """

    def __init__(self, activation: nn.Module, slope: float) -> None:
        super().__init__()
        if not 0 < slope < math.inf:
            raise ParameterError(f"Steep(slope={slope!r}): the slope must be positive and finite.")
        self.activation, self.slope = activation, float(slope)

    def forward(self, inputs: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the activation of the steeper argument."""
        return self.activation(self.slope * inputs)  # type: ignore[no-any-return]


def facts(module: nn.Module) -> Facts | None:
    """Return what is known of an activation, None for any other module.

    >>> facts(nn.Tanh()), facts(nn.Linear(1, 1))
    (Facts(lipschitz=1.0, low=-1.0, high=1.0), None)
    """
    if isinstance(module, Steep):
        known = facts(module.activation)
        return None if known is None else known._replace(lipschitz=module.slope * known.lipschitz)
    # By exact type: a subclass may compute something else.
    made = _KNOWN.get(type(module))
    return None if made is None else made(module)


_KNOWN: dict[type, Callable[[Any], Facts]] = {
    nn.Sigmoid: lambda _: Facts(0.25, 0.0, 1.0),
    nn.Tanh: lambda _: Facts(1.0, -1.0, 1.0),
    nn.Softsign: lambda _: Facts(1.0, -1.0, 1.0),
    nn.Hardsigmoid: lambda _: Facts(1 / 6, 0.0, 1.0),
    nn.Hardtanh: lambda m: Facts(1.0, m.min_val, m.max_val),
    nn.ReLU6: lambda _: Facts(1.0, 0.0, 6.0),
    nn.ReLU: lambda _: Facts(1.0, 0.0, math.inf),
    nn.LeakyReLU: lambda m: Facts(max(1.0, abs(m.negative_slope)), -math.inf, math.inf),
    nn.ELU: lambda m: Facts(max(1.0, abs(m.alpha)), -abs(m.alpha), math.inf),
    nn.Softplus: lambda _: Facts(1.0, 0.0, math.inf),
    nn.GELU: lambda _: Facts(1.13, -0.171, math.inf),  # rounded away from what bounds rely on
    nn.SiLU: lambda _: Facts(1.1, -0.279, math.inf),
}
