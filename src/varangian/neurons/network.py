"""A network, as bounds see it: layers of neurons, and between them the largest weight and the steepness."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.errors import ParameterError
from varangian.neurons.activations import Facts, facts
from varangian.neurons.modules import HEADS, LINEAR, chain_of, check_inputs, fan_in, fan_out, run_all

_AXES = {nn.Linear: 2, nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
_PLAIN = Facts(1.0, -math.inf, math.inf)


@dataclass(frozen=True)
class Layer:
    """One layer: a linear or convolutional module, its activation, and the neurons that come out.

    ``linear`` and ``site`` are the places in the chain of the module and of what its neurons send;
    ``neurons`` is their number, ``synapses`` the number of weights, each of which serves ``shared`` neurons;
    ``fan_in`` and ``fan_out`` count the synapses of a neuron, and of a value that it reads. ``weight`` is the
    largest absolute weight. ``low`` and ``high`` enclose what neurons send, by their activation, or as
    ``measured`` where that has no end: then they hold for the inputs at hand.
    """

    number: int
    linear: int
    site: int
    neurons: int
    synapses: int
    shared: int
    fan_in: int
    fan_out: int
    weight: float
    lipschitz: float
    low: float
    high: float
    measured: bool

    @property
    def reach(self) -> float:
        """Return the largest absolute value that a neuron sends."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, eq=False)
class Network:
    """A model as a chain of modules on the one hand, and as L hidden layers and an output layer on the other.

    ``layers`` has L + 1 entries; the last is the output layer, whose neurons do not fail. ``head`` is how
    much what follows it (a softmax) can stretch an error. ``reach`` is the largest absolute input.
    """

    modules: tuple[nn.Module, ...]
    layers: tuple[Layer, ...]
    head: float
    reach: float
    classes: int

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """Return the layers whose neurons can fail."""
        return self.layers[:-1]

    @property
    def bounded(self) -> bool:
        """Tell whether all activations have a finite range, so that bounds hold for every input."""
        return not any(layer.measured for layer in self.hidden)

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(values.numel() for module in self.modules for values in module.parameters())

    @classmethod
    def of(cls, model: nn.Module, inputs: Float[Tensor, "batch *shape"]) -> Network:
        """Return a copy of a model, as a network; inputs tell shapes, and how far values reach.

        Shape       inputs (batch, *input_shape)
        Raises      ParameterError where no bound is known for the model; InputError
        """
        chain = tuple(copy.deepcopy(module).eval().requires_grad_(False) for module in chain_of(model))
        check_inputs(nn.Sequential(*chain), inputs)
        with torch.no_grad():
            values = run_all(chain, inputs)
        linear = [place for place, module in enumerate(chain) if type(module) in LINEAR]
        if len(linear) < 2:
            raise ParameterError(
                f"The model has {len(linear)} linear layers, and so no hidden neuron that could fail; "
                "it takes at least 2."
            )
        layers = []
        for number, place in enumerate(linear, 1):
            end = linear[number] if number < len(linear) else len(chain)
            layers.append(_layer(number, place, end, chain, values))
        return cls(
            modules=chain,
            layers=tuple(layers),
            head=math.prod(_stretch(module) for module in chain[linear[-1] + 1 :]),
            reach=float(inputs.abs().max()),
            classes=values[-1][0].numel(),
        )


def _layer(number: int, place: int, end: int, chain: tuple[nn.Module, ...], values: list[Tensor]) -> Layer:
    module, made = chain[place], values[place + 1]
    if made.ndim != _AXES[type(module)]:
        raise ParameterError(
            f"Module {place}, a {type(module).__name__}, makes values of shape {tuple(made.shape)}; bounds "
            f"need {_AXES[type(module)]} axes there, with the batch first. Put a Flatten before it."
        )
    among = [at for at in range(place + 1, end) if facts(chain[at]) is not None]
    if len(among) > 1 or any(type(chain[at]) in HEADS for at in range(place + 1, end) if end < len(chain)):
        raise ParameterError(
            f"Between module {place} and module {end} stand two activations, or a softmax; a layer has one."
        )
    site = among[0] if among else place
    known = (facts(chain[site]) or _PLAIN) if among else _PLAIN
    sent = values[site + 1]
    low, high = (known.low, known.high) if known.bounded else (float(sent.min()), float(sent.max()))
    weight: Tensor = module.weight  # type: ignore[assignment]
    return Layer(
        number=number,
        linear=place,
        site=site,
        neurons=sent[0].numel(),
        synapses=weight.numel(),
        shared=made[0, 0].numel(),
        fan_in=fan_in(module),
        fan_out=fan_out(module),
        weight=float(weight.abs().max()),
        lipschitz=known.lipschitz,
        low=low,
        high=high,
        measured=not known.bounded,
    )


def _stretch(module: nn.Module) -> float:
    """Return by how much a module after the output layer can stretch the largest error."""
    known = facts(module)
    return HEADS.get(type(module), 1.0) if known is None else known.lipschitz
