"""Random crashes of one layer: bounds on, and estimates of, mean and variance of what outputs are off by.

The neurons of a layer send y; each crashes by itself with probability p, and f is the rest of the network.
With A the product of the absolute weights of the rest (and of its Lipschitz constants):

    b1  a bound on |mean|, from the norms of the rest and of y
    b2  bounds on |mean| and variance, from A and y:  p A |y|  and  p (1 - p) A^2 y^2, squared by element
    b3  estimates, exact to first order:   -p sum_i (df/dy_i) y_i           p sum_i ((df/dy_i) y_i)^2
    b4  estimates, exact to p^2:           p sum_i [f(y without i) - f(y)]  p sum_i [f(y without i) - f(y)]^2

b1 and b2 as published hold for a rest that is linear (b2: with weights that do not conspire); here they hold
for any. The mean of a norm grows with sqrt(p), and so does what relu makes of an error that has no sign,
hence a factor for each norm in b1. The variance in b2 is the inequality of Efron and Stein: crash i changes
f by A_i |y_i| at most. ``published=True`` returns the published forms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.core.values import Value
from varangian.errors import ParameterError
from varangian.neurons.activations import facts
from varangian.neurons.changes import Affine, Drawn
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.modules import LINEAR, MAX_POOLS, MEAN_POOLS, fan_out, window
from varangian.neurons.network import Layer, Network

NORMS = (1.0, 2.0, math.inf)


@dataclass(frozen=True, eq=False)
class Moments(Value):
    """Mean and variance of what each output is off by, per input; ``bound`` tells whether they bound both.

    Shape       mean, variance (batch, outputs); of a loss (batch, 1)
    """

    name: str
    mean: Float[Tensor, "batch outputs"]
    variance: Float[Tensor, "batch outputs"]
    bound: bool


def b1(
    evaluation: Evaluation, layer: int, probability: float, q: float = 2.0, *, published: bool = False
) -> Float[Tensor, " batch"]:
    """Return a bound on the q-norm of the mean error of the outputs (before a softmax), for each input.

    It is t prod ||W||_q ||y||_q, where t is p if the rest is linear or q = 1, sqrt(p) for q = 2, and
    1 - (1 - p)^N for the largest; p where ``published``.

    Raises      ParameterError
    """
    _check(evaluation.network, layer, probability)
    if q not in NORMS:
        raise ParameterError(f"b1(q={q!r}): q is one of 1, 2 and math.inf.")
    struck = evaluation.network.hidden[layer - 1]
    rest = _rest(evaluation.network, struck)
    sent = evaluation.values[struck.site + 1].flatten(1)
    stretch, linear = 1.0, True
    shape = evaluation.values[struck.site + 1].shape[1:]
    for module in rest:
        linear = linear and not isinstance(module, MAX_POOLS) and facts(module) is None
        stretch *= _norm(module, shape, q, sent.dtype)
        shape = module(torch.zeros(1, *shape, dtype=sent.dtype)).shape[1:]
    rare = {1.0: probability, 2.0: math.sqrt(probability), math.inf: 1 - (1 - probability) ** struck.neurons}
    share = probability if published or linear else rare[q]
    lengths: Tensor = torch.linalg.vector_norm(sent, ord=q, dim=1)
    return share * stretch * lengths


def b2(evaluation: Evaluation, layer: int, probability: float, *, published: bool = False) -> Moments:
    """Return bounds on |mean| and variance of the errors of the outputs (before a softmax).

    Where ``published``, the variance is p (W_L^2) ... (W_2^2) y^2, with every matrix squared by element: what
    paths add up to where their signs are independent, and too little where they conspire.

    Raises      ParameterError
    """
    _check(evaluation.network, layer, probability)
    struck = evaluation.network.hidden[layer - 1]
    true = evaluation.values[struck.site + 1]
    paths = _paths(evaluation.network, struck, true, 1)
    sent = true.flatten(1)
    mean = probability * sent.abs() @ paths.T
    if published:
        variance = probability * sent.square() @ _paths(evaluation.network, struck, true, 2).T
    else:
        variance = probability * (1 - probability) * sent.square() @ paths.square().T
    return Moments("b2", mean, variance, bound=not published)


def b3(
    evaluation: Evaluation,
    layer: int,
    probability: float,
    of: Callable[[Tensor], Tensor] | None = None,
) -> Moments:
    """Return estimates from the derivatives of the outputs, or of what ``of`` makes of them for each input.

    Raises      ParameterError
    """
    _check(evaluation.network, layer, probability)
    struck = evaluation.network.hidden[layer - 1]
    sent = evaluation.values[struck.site + 1].detach().requires_grad_(True)
    moved = moves(evaluation.network.modules[struck.site + 1 :], sent, of).detach()
    return Moments("b3", -probability * moved.sum(-1), probability * moved.square().sum(-1), bound=False)


def moves(
    rest: tuple[nn.Module, ...],
    sent: Float[Tensor, "batch *shape"],
    of: Callable[[Tensor], Tensor] | None = None,
    *,
    keep: bool = False,
) -> Float[Tensor, "batch outputs n"]:
    """Return (df_k/dy_i) y_i of each input; differentiable if asked to ``keep`` the graph."""
    outputs = nn.Sequential(*rest)(sent)
    outputs = (outputs if of is None else of(outputs)).reshape(len(sent), -1)
    slopes = [
        torch.autograd.grad(outputs[:, k].sum(), sent, retain_graph=True, create_graph=keep)[0].flatten(1)
        for k in range(outputs.shape[1])
    ]
    return torch.stack(slopes, 1) * sent.flatten(1)[:, None]


def b4(
    evaluation: Evaluation,
    layer: int,
    probability: float,
    of: Callable[[Tensor], Tensor] | None = None,
) -> Moments:
    """Return estimates from each crash by itself, of the outputs or of what ``of`` makes of them.

    Cost        an evaluation of the rest of the network for each neuron of the layer
    Raises      ParameterError
    """
    _check(evaluation.network, layer, probability)
    struck = evaluation.network.hidden[layer - 1]
    batch = len(evaluation.outputs)
    true = evaluation.outputs if of is None else of(evaluation.outputs)
    true = true.reshape(batch, -1).double()
    mean, square = torch.zeros_like(true), torch.zeros_like(true)
    room = evaluation.room()
    for drawn in alone(struck, evaluation.outputs.dtype, room):
        faulty = evaluation.faulty(drawn)
        made = faulty if of is None else of(faulty.flatten(0, 1))
        off = made.reshape(drawn.draws, batch, -1).double() - true
        mean += off.sum(0)
        square += off.square().sum(0)
    return Moments("b4", probability * mean, probability * square, bound=False)


def alone(layer: Layer, dtype: torch.dtype, room: int) -> list[Drawn]:
    """Return draws in which each neuron of a layer crashes, and no other, in its turn."""
    every = torch.arange(layer.neurons)
    return [
        Drawn(len(some), {layer.number: Affine((some[:, None] != every).to(dtype))})
        for some in every.split(room)
    ]


def _check(network: Network, layer: int, probability: float) -> None:
    if not 1 <= layer <= len(network.hidden):
        raise ParameterError(
            f"There is no hidden layer {layer}; the model has {len(network.hidden)}, from 1."
        )
    if not 0 <= probability <= 1:
        raise ParameterError(f"probability={probability!r}: a probability lies between 0 and 1.")


def _rest(network: Network, struck: Layer) -> tuple[nn.Module, ...]:
    return network.modules[struck.site + 1 : network.layers[-1].linear + 1]


def _absolute(module: nn.Module, values: Tensor, power: int) -> Tensor:
    """Return what a module can make of errors of that size, without their signs, to a power by element."""
    known = facts(module)
    if known is not None:
        return float(known.lipschitz**power) * values
    if isinstance(module, MAX_POOLS):
        pools: dict[int, Any] = {3: nn.AvgPool1d, 4: nn.AvgPool2d, 5: nn.AvgPool3d}
        means: Tensor = pools[values.ndim](module.kernel_size, module.stride)(values)
        return window(module) * means
    if isinstance(module, MEAN_POOLS):
        return module(values) / float(window(module) ** (power - 1))  # type: ignore[no-any-return]
    if type(module) not in LINEAR:
        return module(values)  # type: ignore[no-any-return]
    twin = type(module).__new__(type(module))
    weight: Tensor = module.weight  # type: ignore[assignment]
    parameters = {"weight": nn.Parameter(weight.abs() ** power, requires_grad=False), "bias": None}
    twin.__dict__ = {**module.__dict__, "_parameters": parameters}
    return twin(values)  # type: ignore[no-any-return]


def _paths(network: Network, struck: Layer, true: Tensor, power: int) -> Float[Tensor, "outputs n"]:
    """Return the absolute weights of all paths from each neuron of a layer to each output, added up."""
    start = torch.zeros(1, *true.shape[1:], dtype=true.dtype, requires_grad=True)
    values = start
    for module in _rest(network, struck):
        values = _absolute(module, values, power)
    outputs = values.flatten()
    rows = [torch.autograd.grad(one, start, retain_graph=True)[0].flatten() for one in outputs]
    return torch.stack(rows)


def _norm(module: nn.Module, shape: torch.Size, q: float, dtype: torch.dtype) -> float:
    """Return the q-norm of a module as a map, or more than it."""
    known = facts(module)
    if known is not None:
        return known.lipschitz
    if isinstance(module, MAX_POOLS):
        return 1.0 if q == math.inf else fan_out(module) ** (1 / q)
    if type(module) not in LINEAR and not isinstance(module, MEAN_POOLS):
        return 1.0
    if type(module) is nn.Linear:
        return float(torch.linalg.matrix_norm(module.weight, ord=q))
    ones = torch.ones(1, *shape, dtype=dtype, requires_grad=True)
    made = _absolute(module, ones, 1)
    widest = float(made.detach().max())
    (columns,) = torch.autograd.grad(made.sum(), ones)
    # The 2-norm is at most the geometric mean of the other two.
    return {1.0: float(columns.max()), 2.0: math.sqrt(float(columns.max()) * widest), math.inf: widest}[q]
