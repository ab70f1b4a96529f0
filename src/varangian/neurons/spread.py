"""How far an error spreads: from layer to layer, as the largest error of a value and the sum over a layer.

Let m be the largest error among the values of a layer, s the sum of all, and w the largest weight into the
next layer. A neuron there, which reads r values, is off by at most K w min(s, r m), and the N - f sound ones
together by N - f times as much; the f that fail add their own. With r = N this is

    FEP = C sum_l f_l K^(L-l) w_(L+1) prod_(l' > l) (N_l' - f_l') w_l'

of *When Neurons Fail*. Since all of it grows with s and m, and the draws of different layers do not depend on
each other, the same recursion bounds expectations where each part fails with a probability.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from varangian.neurons.activations import facts
from varangian.neurons.fault import NEURONS, Fault, Harm
from varangian.neurons.modules import LINEAR, MEAN_POOLS, POOLS, fan_in, fan_out, window
from varangian.neurons.network import Layer, Network


@dataclass(frozen=True)
class Spread:
    """The error of the values at one place of a chain: the most that one is off by, and the sum over all.

    Where parts fail with a probability, both are expectations, and ``most`` is that of any one value.
    """

    most: float = 0.0
    total: float = 0.0

    def within(self, count: int) -> float:
        """Return the most that so many of the values are off by together."""
        return min(self.total, count * self.most)


@dataclass(frozen=True)
class Failing:
    """How many parts of a layer fail, or with which probability each, and how far each can move a value."""

    harm: Harm
    count: int = 0
    probability: float | None = None

    @property
    def any(self) -> bool:
        """Tell whether a part can fail."""
        return bool(self.count or self.probability)


def spread(network: Network, fault: Fault) -> float:
    """Return the largest error of an output that a fault can cause, or its expectation if it is at random.

    Raises      ParameterError where the fault has no bound, or the model not so many parts
    """
    neurons, synapses = failing(network, fault)
    random = fault.probability is not None
    by_place = {layer.linear: layer for layer in network.layers}
    sites = {layer.site: layer for layer in network.hidden}
    error = Spread()
    for place, module in enumerate(network.modules[: network.layers[-1].linear + 1]):
        if place in by_place:
            layer = by_place[place]
            last = layer is network.layers[-1]
            size = layer.shared * _channels(module)
            error = _weighed(error, module, layer, size, synapses.get(layer.number), random and last)
        elif type(module) in POOLS:
            error = _pooled(error, module, random=random)
        elif (known := facts(module)) is not None:
            error = Spread(known.lipschitz * error.most, known.lipschitz * error.total)
        if place in sites and (found := neurons.get(sites[place].number)) is not None:
            error = _struck(error, sites[place].neurons, found)
    return network.head * error.most


def failing(network: Network, fault: Fault) -> tuple[dict[int, Failing], dict[int, Failing]]:
    """Return what fails in each layer, among its neurons and among the synapses into it."""
    on_neurons = fault.of == NEURONS
    layers = network.hidden if on_neurons else network.layers
    sizes = [layer.neurons if on_neurons else layer.synapses for layer in layers]
    chance = fault.probability
    here = fault.touched(len(layers))
    if fault.everywhere:
        counts = tuple(size if number in here else 0 for number, size in enumerate(sizes, 1))
    else:
        counts = fault.counts(sizes) if chance is None else (0,) * len(sizes)
    before = network.reach
    found = {}
    for layer, count in zip(layers, counts, strict=True):
        harm = fault.harm(layer.low, layer.high, layer.weight, before)
        before = layer.reach
        one = Failing(harm, count, chance if chance is not None and layer.number in here else None)
        if one.any:
            found[layer.number] = one
    return (found, {}) if on_neurons else ({}, found)


def _weighed(
    error: Spread, module: nn.Module, layer: Layer, size: int, broken: Failing | None, summed: bool
) -> Spread:
    """Return the error after a linear layer; ``summed`` takes the sum for the most, for expected maxima."""
    read = fan_in(module)
    most = layer.weight * error.within(read)
    total = min(size * most, layer.weight * fan_out(module) * error.total)
    if summed:
        most = layer.weight * error.total if size > _channels(module) else most
    if broken is not None:
        off = broken.harm.size + broken.harm.growth * error.most
        if broken.probability is not None:
            each = read * broken.probability * off
            most, total = most + (size * each if summed else each), total + size * each
        else:
            most += min(broken.count, read) * off
            total += min(broken.count * layer.shared, size * read) * off
    return Spread(most, total)


def _struck(error: Spread, size: int, broken: Failing) -> Spread:
    """Return the error after neurons have failed."""
    off, share = broken.harm.size, broken.probability
    if not broken.harm.replaces:
        if share is not None:
            return Spread(error.most + share * off, error.total + share * size * off)
        return Spread(error.most + off, error.total + broken.count * off)
    if share is not None:
        return Spread(share * off + (1 - share) * error.most, share * size * off + (1 - share) * error.total)
    return Spread(max(off, error.most), broken.count * off + error.within(size - broken.count))


def _pooled(error: Spread, module: nn.Module, *, random: bool) -> Spread:
    """Return the error after a pooling, whose largest input error is none of the expected ones."""
    pooled, reached = window(module), fan_out(module)
    if type(module) in MEAN_POOLS:
        return Spread(error.within(pooled) / pooled, reached * error.total / pooled)
    return Spread(error.within(pooled) if random else error.most, reached * error.total)


def _channels(module: nn.Module) -> int:
    if type(module) not in LINEAR:
        raise TypeError(f"{type(module).__name__} has no channels.")
    return int(module.weight.shape[0])  # type: ignore[index]
