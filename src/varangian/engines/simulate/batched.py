"""Gradients of whole batches: what is drawn at once, and what is done to a gradient once it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.simulate.differentiation import Clipped, Differentiation, Step
from varangian.engines.simulate.sampler import Sampler
from varangian.engines.simulate.stacks import LinearStack
from varangian.engines.world import World, clipping
from varangian.kernels.lanes import threads_instead_of_lanes


class Batched(Differentiation):
    """A way that computes the plain gradients of many workers at once."""

    def __init__(self, worlds: Sequence[World]) -> None:
        super().__init__(worlds)
        self.sampler = Sampler(worlds)
        private = [world.spec.privacy for world in worlds]
        self.clip = _bounds([world.spec.clip for world in worlds])
        self.whole = _bounds([p.norm if p is not None and p.clip == "batch" else None for p in private])
        self.each = _bounds([p.norm if p is not None and p.clip == "sample" else None for p in private])


@dataclass(frozen=True, eq=False)
class Sampled(Step):
    """Gradients still to be clipped, hidden by noise, and penalised; ``plain`` makes them."""

    losses: Float[Tensor, "runs workers"]
    plain: Callable[[int], Float[Tensor, "workers d"]]
    way: Batched
    theta: Float[Tensor, "runs workers d"]
    step: int
    local: int
    shared: bool

    def gradients(self, run: int) -> Clipped:
        """Return the gradients of a run's workers, to be clipped."""
        way, world = self.way, self.way.worlds[run]
        gradients = self.plain(run)
        if way.whole is not None:
            gradients = Clipped(gradients, clipping(gradients, way.whole[run])).whole()
        if world.spec.privacy is not None:
            self._hide(world, gradients)
        penalty = world.penalty(self.theta[run, :1] if self.shared else self.theta[run])
        if penalty is not None:
            gradients += penalty
        return Clipped(gradients, None if way.clip is None else clipping(gradients, way.clip[run]))

    def _hide(self, world: World, gradients: Tensor) -> None:
        """Add the noise of privacy to what a run's workers computed, in place."""
        for place, worker in enumerate(self.way.computing):
            hidden = world.noise(worker, self.step, self.local, world.samples(worker))
            gradients[place] += hidden.to(gradients.device)


class Stacked(Batched):
    """Differentiate a linear stack by grouped products, slab by slab."""

    def __init__(self, worlds: Sequence[World], stack: LinearStack) -> None:
        super().__init__(worlds)
        self.stack = stack
        world = worlds[0]
        # The loss of a batch refuses outputs of a wrong shape, and says what to change.
        world.loss(stack.outputs(world.flat.get(), world.data.test_inputs[:1]), world.data.test_labels[:1])

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Return losses at once, and gradients as they are asked for."""
        batch = self.sampler.draw(step, local)
        with threads_instead_of_lanes():
            losses, parts = self.stack.backward(theta, *batch, clip=self.each, shared=shared)

        def plain(run: int) -> Tensor:
            return self.stack.products(parts, run, theta.new_empty(theta.shape[1:]))

        return Sampled(losses, plain, self, theta, step, local, shared)

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the stack says."""
        with threads_instead_of_lanes():
            return self.worlds[run].share_right(lambda inputs: self.stack.outputs(theta, inputs))


def _bounds(values: Sequence[float | None]) -> Tensor | None:
    """Return a bound per run, infinite where there is none; None where nobody has one."""
    if all(value is None for value in values):
        return None
    return torch.tensor([float("inf") if value is None else value for value in values], dtype=torch.float64)
