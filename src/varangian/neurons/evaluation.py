"""A network and inputs: what it returns under many draws of faults at once.

What no draw can touch is computed once, when the evaluation is made. Draws then go through the rest side by
side, as one long batch; and where they meet neurons in front of a linear layer, the factors of the draws go
to its weights instead of its inputs, so that all draws are one product of matrices, for which nobody had to
copy the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from varangian.neurons.changes import Affine, Drawn, Rewire
from varangian.neurons.fault import Site, Wires
from varangian.neurons.modules import check_inputs, run_all
from varangian.neurons.network import Network

ROOM = 2**23
"""So many numbers a layer's values may have at once, over draws and inputs."""
_CONVOLUTIONS: dict[type, Any] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A network, inputs, and the true value of everything on the way: ``values[i + 1]`` leaves module i."""

    network: Network
    values: tuple[Tensor, ...]

    @classmethod
    def of(cls, network: Network, inputs: Float[Tensor, "batch *shape"]) -> Evaluation:
        """Return the evaluation on these inputs. Raises InputError."""
        check_inputs(nn.Sequential(*network.modules), inputs)
        with torch.no_grad():
            return cls(network, tuple(run_all(network.modules, inputs)))

    @property
    def outputs(self) -> Float[Tensor, "batch *classes"]:
        """Return what comes out where nothing fails."""
        return self.values[-1]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return the neurons that can fail, layer by layer."""
        dtype = self.outputs.dtype
        return tuple(Site(at.number, at.neurons, at.low, at.high, dtype) for at in self.network.hidden)

    @property
    def wires(self) -> tuple[Wires, ...]:
        """Return the synapses that can fail, layer by layer."""
        modules = self.network.modules
        return tuple(Wires(at.number, modules[at.linear].weight) for at in self.network.layers)  # type: ignore[arg-type]

    def room(self) -> int:
        """Return how many draws may be evaluated at once, so that their values find room."""
        widest = max(values.numel() for values in self.values[1:])
        return max(1, ROOM // widest)

    def faulty(self, drawn: Drawn) -> Float[Tensor, "draws batch *classes"]:
        """Return what comes out in each draw."""
        sites = {at.site: at.number for at in self.network.hidden if at.number in drawn.neurons}
        rewired = {
            at.linear: drawn.synapses[at.number] for at in self.network.layers if at.number in drawn.synapses
        }
        if not sites and not rewired:
            return self.outputs.expand(drawn.draws, *self.outputs.shape)
        # A neuron's fault changes what its module returned; a synapse's, how the module is carried out.
        place = min([at + 1 for at in sites] + list(rewired))
        values, modules = self.values[place][None], self.network.modules
        with torch.no_grad():
            if place - 1 in sites:
                change = drawn.neurons[sites[place - 1]]
                ahead = next_linear(modules, place)
                if (
                    isinstance(change, Affine)
                    and ahead is not None
                    and not {*range(place, ahead + 1)} & {*rewired}
                ):
                    values = folded(self.values[ahead], change, modules[ahead])
                    place = ahead + 1
                    values = self._struck(values, ahead, sites, drawn)
                else:
                    values = self._struck(values, place - 1, sites, drawn)
            for at in range(place, len(modules)):
                values = through(modules[at], values, rewired.get(at))
                values = self._struck(values, at, sites, drawn)
        return values.expand(drawn.draws, *values.shape[1:])

    def _struck(self, values: Tensor, place: int, sites: dict[int, int], drawn: Drawn) -> Tensor:
        if place not in sites:
            return values
        sent = drawn.neurons[sites[place]].apply(values.flatten(2), self.values[place + 1].flatten(1))
        return sent.unflatten(2, values.shape[2:]) if values.ndim > 3 else sent


def next_linear(modules: tuple[nn.Module, ...], place: int) -> int | None:
    """Return where the next module that is not silent stands, if that is a Linear and values come flat."""
    at = place
    while at < len(modules) and isinstance(modules[at], nn.Flatten | nn.Dropout | nn.Identity):
        at += 1
    return at if at < len(modules) and type(modules[at]) is nn.Linear else None


def folded(
    true: Float[Tensor, "batch n"], change: Affine, linear: nn.Module
) -> Float[Tensor, "draws batch out"]:
    """Return what a linear layer makes of true values under a change: the change goes to its weights."""
    weight: Tensor = linear.weight  # type: ignore[assignment]
    bias: Tensor | None = linear.bias  # type: ignore[assignment]
    factor = change.factor
    stacked = (factor[:, None] * weight).flatten(0, 1)
    values: Tensor = (stacked @ true.T).unflatten(0, (len(factor), -1)).transpose(1, 2)
    if change.shift is not None:
        values = values + (change.shift @ weight.T)[:, None]
    return values if bias is None else values + bias


def through(
    module: nn.Module, values: Float[Tensor, "some batch *shape"], rewire: Rewire | None = None
) -> Float[Tensor, "draws batch *made"]:
    """Return what a module makes of the values of several draws, its synapses rewired in each."""
    draws = len(values)
    if type(module) is nn.LogSoftmax and values.ndim == 3 and module.dim in (1, -1):
        # The same, but quick on values that a product left in another order.
        return values - values.logsumexp(-1, keepdim=True)
    if rewire is None or rewire.weight is None:
        made = module(values.flatten(0, 1)).unflatten(0, (draws, -1))
    else:
        made = _rewired(module, values, rewire.weight)
    if rewire is None or rewire.shift is None:
        return made  # type: ignore[no-any-return]
    shift = rewire.shift[:, None]
    return made + (shift if made.ndim == 3 else shift.reshape(*shift.shape, *(1,) * (made.ndim - 3)))  # type: ignore[no-any-return]


def _rewired(module: Any, values: Tensor, weight: Tensor) -> Tensor:
    bias = module.bias
    if type(module) is nn.Linear:
        made = values @ weight.transpose(1, 2)
        return made if bias is None else made + bias
    convolve = _CONVOLUTIONS[type(module)]
    options = (module.stride, module.padding, module.dilation, module.groups)
    return torch.stack(
        [
            convolve(values[draw if len(values) > 1 else 0], one, bias, *options)
            for draw, one in enumerate(weight)
        ]
    )
