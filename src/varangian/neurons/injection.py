"""Faults in any module, by hooks: it stays as it is, and computes what a faulty one would meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from varangian.core.randomness import Stream, as_stream
from varangian.errors import ParameterError
from varangian.neurons.activations import facts
from varangian.neurons.changes import Drawn
from varangian.neurons.evaluation import through
from varangian.neurons.fault import NEURONS, Fault, Site, Wires
from varangian.neurons.modules import LINEAR, check_inputs


@dataclass
class _Walk:
    """The calls of a model's parts, in the order in which one call of the model makes them.

    ``sites`` and ``wires`` are by the number of the call: neurons send what it returns, or its weights are
    the synapses.
    """

    parts: list[nn.Module]
    sites: dict[int, Site] = field(default_factory=dict)
    wires: dict[int, Wires] = field(default_factory=dict)


@contextmanager
def injected(
    model: nn.Module,
    fault: Fault,
    inputs: Float[Tensor, "batch *shape"],
    *,
    draws: int | None = None,
    stream: Stream | None = None,
    at: tuple[str, ...] = (),
) -> Iterator[Drawn]:
    """Let a fault strike a model for as long as the context lasts.

    Its neurons are what its activations return, or layers without one, in the order in which they are called,
    or the modules named in ``at``; its synapses the weights of its linear and convolutional modules.
    ``inputs`` are an example of what it will be called with, and tell how far values reach. With ``draws``, a
    call returns the outputs of so many draws, (draws, batch, ...); else those of one, shaped as ever. Faults
    are drawn once. Nothing of the model is changed, and its hooks are gone afterwards, however that comes.

    Randomness  from ``stream`` alone
    Raises      ParameterError for a model in training mode, or one without such parts; InputError

    >>> from varangian.neurons.faults import Crash
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).eval()
    >>> with injected(model, Crash(count=4), torch.ones(3, 2)):
    ...     bool((model(torch.ones(3, 2)) == model[2].bias).all())
    True
    """
    if model.training:
        raise ParameterError(
            "The model is in training mode, in which dropout and batch statistics change what it computes; "
            "call model.eval() first."
        )
    check_inputs(model, inputs)
    walk = _walked(model, inputs, at)
    sites, wires = list(walk.sites.values()), list(walk.wires.values())
    if not (sites if fault.of == NEURONS else wires):
        raise ParameterError(
            f"{fault!r} finds nothing to strike: the model calls no linear or convolutional module before "
            "its last. Name the modules whose outputs are neurons: at=(...)."
        )
    drawn = fault.draw(sites, wires, draws or 1, as_stream(stream))
    with _Hooks(model, walk, drawn, several=draws is not None):
        yield drawn


def _walked(model: nn.Module, inputs: Tensor, at: tuple[str, ...]) -> _Walk:
    """Call the model once, to see which parts it calls and what they send."""
    named = dict(model.named_modules())
    missing = [name for name in at if name not in named]
    if missing:
        raise ParameterError(
            f"The model has no module {missing[0]!r}; it has {', '.join(filter(None, named))}."
        )
    wanted = [named[name] for name in at]
    within = {id(inner) for module in named.values() if facts(module) for inner in module.children()}
    active = [module for module in named.values() if facts(module) is not None and id(module) not in within]
    linear = [module for module in named.values() if type(module) in LINEAR]
    parts = [m for m in named.values() if any(m is one for one in (*wanted, *active, *linear))]
    calls: list[tuple[nn.Module, Tensor]] = []
    handles = [part.register_forward_hook(lambda m, _, output: calls.append((m, output))) for part in parts]
    with _removed(handles), torch.no_grad():
        model(inputs)
    walk = _Walk(parts)
    weighed = [number for number, (module, _) in enumerate(calls) if type(module) in LINEAR]
    for number in weighed:
        weight: Any = calls[number][0].weight
        walk.wires[number] = Wires(len(walk.wires) + 1, weight.detach())
    if wanted:
        sending = [number for number, (module, _) in enumerate(calls) if any(module is one for one in wanted)]
    else:
        # A layer's neurons send what its activation returns, or the layer itself where it has none; what the
        # last layer returns are the outputs.
        sending = [
            next((n for n in range(first, after) if facts(calls[n][0]) is not None), first)
            for first, after in pairwise(weighed)
        ]
    for number in sending:
        module, output = calls[number]
        known = facts(module)
        ends = (
            (known.low, known.high) if known and known.bounded else (float(output.min()), float(output.max()))
        )
        walk.sites[number] = Site(len(walk.sites) + 1, output[0].numel(), *ends, output.dtype)
    return walk


class _Hooks:
    """The hooks that carry drawn faults out, as a context that removes them."""

    def __init__(self, model: nn.Module, walk: _Walk, drawn: Drawn, *, several: bool) -> None:
        self.model, self.walk, self.drawn, self.several = model, walk, drawn, several
        self.trusting = any(getattr(change, "trust", None) is not None for change in drawn.neurons.values())
        self.looking = False
        self.calls = 0
        self.true: dict[int, Tensor] = {}
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> None:
        self.handles = [self.model.register_forward_pre_hook(self._begin)]
        self.handles += [part.register_forward_hook(self._called) for part in self.walk.parts]
        self.handles.append(self.model.register_forward_hook(self._end))

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _begin(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        self.calls = 0
        if self.looking:
            return None
        if self.trusting:
            self.looking = True
            try:
                with torch.no_grad():
                    self.model(*args)
            finally:
                self.looking, self.calls = False, 0
        if not self.several:
            return None
        return tuple(one.repeat(self.drawn.draws, *(1,) * (one.ndim - 1)) for one in args)

    def _called(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        number, self.calls = self.calls, self.calls + 1
        site, wires = self.walk.sites.get(number), self.walk.wires.get(number)
        if self.looking:
            if site is not None:
                self.true[number] = output
            return output
        draws = self.drawn.draws
        if wires is not None and (rewire := self.drawn.synapses.get(wires.number)) is not None:
            made = through(_without_hooks(module), args[0].unflatten(0, (draws, -1)), rewire)
            output = made.reshape(output.shape)
        if site is not None and (change := self.drawn.neurons.get(site.number)) is not None:
            values = output.unflatten(0, (draws, -1))
            known = self.true[number] if self.trusting else values[0]
            output = change.apply(values.flatten(2), known.flatten(1)).reshape(output.shape)
        return output

    def _end(self, module: nn.Module, _: Any, output: Tensor) -> Tensor:
        return output.unflatten(0, (self.drawn.draws, -1)) if self.several and not self.looking else output


def _without_hooks(module: nn.Module) -> nn.Module:
    """Return a module that shares the parameters of another, and none of its hooks."""
    twin = type(module).__new__(type(module))
    twin.__dict__ = {**module.__dict__, "_forward_hooks": type(module._forward_hooks)()}
    return twin


@contextmanager
def _removed(handles: list[RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
