"""Gradients of modules of any kind, mapped over workers and runs by ``torch.func``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from varangian.core.parameters import FlatParameters
from varangian.engines.simulate.batched import Batched, Sampled
from varangian.engines.simulate.differentiation import Step
from varangian.engines.world import World
from varangian.kernels.lanes import threads_instead_of_lanes
from varangian.models import SAMPLE_LOSSES
from varangian.privacy import shortened

LARGEST = 100_000
"""Parameters above which a CPU is faster worker by worker: 2 times for a CNN of 1 199 882."""

TOLERANCE = 1e-3
"""Relative difference from plain differentiation that rounding may explain."""

RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)


class Mapped(Batched):
    """Differentiate any module that neither draws random numbers nor changes while it is used."""

    def __init__(self, worlds: Sequence[World]) -> None:
        super().__init__(worlds)
        world = worlds[0]
        module, flat, loss_of = world.module, world.flat, SAMPLE_LOSSES[world.loss]

        def loss(theta: Tensor, inputs: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
            outputs = functional_call(module, flat.unflatten(theta), (inputs,))
            return (loss_of(outputs, labels) * shares).sum()

        plain = grad_and_value(loss)

        def private(
            theta: Tensor, inputs: Tensor, labels: Tensor, shares: Tensor, bound: Tensor
        ) -> tuple[Tensor, Tensor]:
            samples = inputs[:, None], labels[:, None], torch.ones_like(shares)[:, None]
            gradients, losses = vmap(plain, (None, 0, 0, 0))(theta, *samples)
            return shares @ shortened(gradients, bound), (losses * shares).sum()

        self._of_worker: Callable[..., tuple[Tensor, Tensor]] = plain if self.each is None else private

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Return all losses and gradients at once."""
        inputs, labels, shares = self.sampler.draw(step, local)
        given = [theta[:, 0] if shared else theta, inputs.gathered(), labels, shares]
        axes = [None if shared else 0, 0, 0, 0]
        if self.each is not None:
            given.append(self.each.to(shares))
            axes.append(None)
        with threads_instead_of_lanes():
            gradients, losses = vmap(vmap(self._of_worker, tuple(axes)))(*given)

        return Sampled(losses, lambda runs: (gradients[runs], None), self, theta, step, local, shared)


def can_be_mapped(worlds: Sequence[World]) -> bool:
    """Tell whether mapping gives a worker's gradient as plain differentiation does, and is worth it.

    It is tried on a copy of the module: samples must not mix, and using it must not change it.
    """
    world = worlds[0]
    parts = list(world.module.modules())
    changing = any(isinstance(part, RANDOM) and part.training for part in parts)
    large = world.flat.d > LARGEST and world.spec.device == "cpu"
    if changing or large or world.loss not in SAMPLE_LOSSES:
        return False
    module = copy.deepcopy(world.module)
    trial = replace(world, module=module, flat=FlatParameters(module))
    theta, before = trial.flat.get(), _memory(module)
    inputs, _ = trial.sample(world.computing[0], 0, 0)
    try:
        together = module(inputs)
        alone = torch.cat([module(inputs[i : i + 1]) for i in range(len(inputs))])
        step = Mapped([trial]).at(theta.expand(1, len(world.computing), -1), 0, 0, shared=True)
        gradient = step.gradients(slice(0, 1))[0].whole()[0]
        want, _ = trial.gradient(theta, world.computing[0], 0, 0)
    except (RuntimeError, TypeError, ValueError):  # torch.func cannot follow this module, or nobody can
        return False
    pairs = ((together, alone), (gradient, want))
    return _memory(module) == before and all(
        bool((one - other).norm() <= TOLERANCE * other.norm()) for one, other in pairs
    )


def _memory(module: nn.Module) -> list[object]:
    """Return what a module would change of itself if it remembered: its buffers, and its plain attributes."""
    buffers = [buffer.detach().cpu().numpy().tobytes() for buffer in module.buffers()]
    plain = [
        (name, value)
        for part in module.modules()
        for name, value in vars(part).items()
        if isinstance(value, (bool, int, float, str))
    ]
    return [*buffers, *plain]
