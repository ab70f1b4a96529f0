"""Terms to add to a loss while a model is trained, so that it bears faults better afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.core.checks import check_fields
from varangian.core.citations import Reference
from varangian.core.values import Value
from varangian.errors import InputError, ParameterError, UnknownNameError
from varangian.neurons.activations import facts
from varangian.neurons.harmed import losses
from varangian.neurons.modules import LINEAR, chain_of
from varangian.neurons.papers import CONTINUOUS_LIMIT, NEURONS_FAIL

OF = ("outputs", "nll", "cross_entropy")


@dataclass(frozen=True)
class CrashVariance(Value):
    """Add ``strength`` times the variance that random crashes cause, to first order (b3).

    That is p sum_i ((df/dy_i) y_i)^2 over all hidden neurons, f the outputs or the loss of an input, averaged
    over the batch.

    Cost        one more backward pass for each output, or one of the loss
    Raises      ParameterError; UnknownNameError
    Reference   El-Mhamdi et al., 2019

    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> penalty = CrashVariance(1.0, probability=0.1)(model, torch.ones(5, 3))
    >>> penalty.backward()
    >>> model[2].weight.grad is not None
    True
    """

    strength: float
    probability: float = 0.01
    of: str = "outputs"

    reference: ClassVar[Reference] = CONTINUOUS_LIMIT

    def __post_init__(self) -> None:
        check_fields(self, least=0.0) if isinstance(self.of, str) else None
        if self.of not in OF:
            raise UnknownNameError("value of `of`", str(self.of), OF)

    def __call__(
        self, model: nn.Module, inputs: Float[Tensor, "batch *shape"], labels: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """Return the term, a number with a gradient. Raises ParameterError, InputError."""
        chain = chain_of(model)
        places = _sites(chain)
        sent, values = [], inputs
        for place, module in enumerate(chain):
            values = module(values)
            if place in places:
                sent.append(values)
        if self.of != "outputs":
            if labels is None:
                raise InputError(f"{self!r} needs labels: call it with (model, inputs, labels).")
            values = losses(values[None], labels, self.of)[0]
        columns = values.reshape(len(inputs), -1).sum(0)
        total = torch.zeros((), dtype=values.dtype, device=values.device)
        for column in columns:
            slopes = torch.autograd.grad(column, sent, create_graph=True)
            moved = [(slope * value).square().sum() for slope, value in zip(slopes, sent, strict=True)]
            total = total + torch.stack(moved).sum()
        return self.strength * self.probability * total / len(inputs)


@dataclass(frozen=True)
class LargestWeight(Value):
    """Add ``strength`` times the sum of the largest absolute weight of each layer, which FEP multiplies.

    Reference   El Mhamdi and Guerraoui, IPDPS 2017 (FEP; the term is ours)
    """

    strength: float

    reference: ClassVar[Reference] = NEURONS_FAIL

    def __post_init__(self) -> None:
        check_fields(self, least=0.0)

    def __call__(self, model: nn.Module) -> Float[Tensor, ""]:
        """Return the term, a number with a gradient. Raises ParameterError."""
        weights: list[Tensor] = [m.weight for m in chain_of(model) if type(m) in LINEAR]  # type: ignore[misc]
        if not weights:
            raise ParameterError("The model has no linear layer, and so no weights.")
        return self.strength * torch.stack([weight.abs().max() for weight in weights]).sum()


def _sites(chain: tuple[nn.Module, ...]) -> set[int]:
    """Return the places of the activations of hidden layers."""
    last = max((at for at, module in enumerate(chain) if type(module) in LINEAR), default=0)
    places = {at for at, module in enumerate(chain[:last]) if facts(module) is not None}
    if not places:
        raise ParameterError("The model has no hidden activation, and so no neuron that could crash.")
    return places
