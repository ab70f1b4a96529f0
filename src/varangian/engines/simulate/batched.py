"""Gradients of whole batches: what is drawn at once, and what is done to a gradient once it is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.simulate.differentiation import Differentiation, Place, Step
from varangian.engines.simulate.sampler import Sampler
from varangian.engines.simulate.stacks import LinearStack
from varangian.engines.world import World, clipped
from varangian.kernels.lanes import threads_instead_of_lanes

SLAB = 2**18
"""Numbers in a slab: one mebibyte in float32."""


class Batched(Differentiation):
    """A way that computes the plain gradients of many workers at once."""

    def __init__(self, worlds: Sequence[World]) -> None:
        super().__init__(worlds)
        self.sampler = Sampler(worlds)
        private = [world.spec.privacy for world in worlds]
        self.clip = _bounds([world.spec.clip for world in worlds])
        self.whole = _bounds([p.norm if p is not None and p.clip == "batch" else None for p in private])
        self.each = _bounds([p.norm if p is not None and p.clip == "sample" else None for p in private])

    def cut(self, runs: int, workers: int, d: int) -> list[Place]:
        """Return as many together as a cache holds."""
        return list(places(runs, workers, d))


@dataclass(frozen=True, eq=False)
class Sampled(Step):
    """Gradients still to be clipped, hidden by noise, and penalised; ``plain`` makes them."""

    losses: Float[Tensor, "runs workers"]
    plain: Callable[[slice, slice], Float[Tensor, "r w d"]]
    way: Batched
    theta: Float[Tensor, "runs workers d"]
    step: int
    local: int
    shared: bool

    def gradients(self, runs: slice, workers: slice) -> Float[Tensor, "r w d"]:
        """Return the gradients of some workers of some runs."""
        gradients = self.plain(runs, workers)
        shape = gradients.shape[:2]
        if self.way.whole is not None:
            gradients = clipped(gradients, self.way.whole[runs, None].expand(shape))
        for run in range(runs.start, runs.stop):
            own, theta = gradients[run - runs.start], self.theta[run]
            self._hide(run, workers, own)
            penalty = self.way.worlds[run].penalty(theta[:1] if self.shared else theta[workers])
            if penalty is not None:
                own += penalty
        if self.way.clip is not None:
            gradients = clipped(gradients, self.way.clip[runs, None].expand(shape))
        return gradients

    def _hide(self, run: int, workers: slice, gradients: Tensor) -> None:
        """Add the noise of privacy to what some workers of a run computed, in place."""
        world = self.way.worlds[run]
        if world.spec.privacy is None:
            return
        for place, worker in enumerate(self.way.computing[workers]):
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

        def plain(runs: slice, workers: slice) -> Tensor:
            room = theta.new_empty(runs.stop - runs.start, workers.stop - workers.start, theta.shape[-1])
            return self.stack.products(parts, runs, workers, room)

        return Sampled(losses, plain, self, theta, step, local, shared)

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the stack says."""
        with threads_instead_of_lanes():
            return self.worlds[run].share_right(lambda inputs: self.stack.outputs(theta, inputs))


def places(runs: int, workers: int, d: int) -> Iterator[Place]:
    """Yield runs and workers, slab by slab.

    >>> list(places(2, 3, SLAB // 6))
    [(slice(0, 2, None), slice(0, 3, None))]
    >>> list(places(1, 3, SLAB // 2))
    [(slice(0, 1, None), slice(0, 2, None)), (slice(0, 1, None), slice(2, 3, None))]
    """
    rows = max(1, SLAB // d)
    if rows >= workers:
        each = rows // workers
        for start in range(0, runs, each):
            yield slice(start, min(start + each, runs)), slice(0, workers)
        return
    for run in range(runs):
        for start in range(0, workers, rows):
            yield slice(run, run + 1), slice(start, min(start + rows, workers))


def _bounds(values: Sequence[float | None]) -> Tensor | None:
    """Return a bound per run, infinite where there is none; None where nobody has one."""
    if all(value is None for value in values):
        return None
    return torch.tensor([float("inf") if value is None else value for value in values], dtype=torch.float64)
