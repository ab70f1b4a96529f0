"""Every worker's gradient in every run of a batch, by the fastest way that the model allows.

Gradients come slab by slab: as many neighbouring workers, or whole runs of them, as a core's cache holds.
What is done to a gradient next, clipping, noise, momentum, statistics, is done while it is still there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.simulate.sampler import Sampler
from varangian.engines.simulate.stacks import LinearStack
from varangian.engines.world import World, clipped
from varangian.kernels.lanes import threads_instead_of_lanes

SLAB = 2**18
"""Numbers in a slab: one mebibyte in float32."""


@dataclass(frozen=True, eq=False)
class Slab:
    """The gradients ``(r, w, d)`` of neighbouring workers of one run, or of all workers of several."""

    runs: slice
    workers: slice
    gradients: Float[Tensor, "r w d"]

    def moved(self, runs: int) -> Slab:
        """Return the same slab, its runs counted from another first one."""
        return replace(self, runs=slice(self.runs.start + runs, self.runs.stop + runs))


Place = tuple[slice, slice]
"""The runs and the workers of a slab."""


class Step(ABC):
    """What a step's forward pass left behind: the losses, and all it takes to make any slab of gradients."""

    losses: Float[Tensor, "runs workers"]

    @abstractmethod
    def slab(self, runs: slice, workers: slice) -> Slab:
        """Return the gradients of some workers of some runs, as ``World.gradient`` gives them."""


class Differentiation(ABC):
    """A way to differentiate the losses of all workers of some runs."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing
        self.places = self.cut(len(worlds), len(self.computing), worlds[0].flat.d)

    def cut(self, runs: int, workers: int, d: int) -> list[Place]:
        """Return what gradients are made together: here, those of one run."""
        return [(slice(run, run + 1), slice(0, workers)) for run in range(runs)]

    @abstractmethod
    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Take batches, and the losses at each worker's parameters.

        ``shared`` says that the workers of a run stand at the same parameters.
        """

    @abstractmethod
    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return the share of test samples that a run's model gets right."""


def places(runs: int, workers: int, d: int) -> Iterator[Place]:
    """Yield runs and workers, slab by slab.

    >>> list(places(2, 3, SLAB // 2))
    [(slice(0, 1, None), slice(0, 2, None)), (slice(0, 1, None), slice(2, 3, None)), \
(slice(1, 2, None), slice(0, 2, None)), (slice(1, 2, None), slice(2, 3, None))]
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


class OneByOne(Differentiation):
    """Ask each run's own world: for models with memory, random layers, or layers of any kind."""

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Return losses and gradients, one worker after the other."""
        with threads_instead_of_lanes():
            pairs = [
                world.gradient(start, worker, step, local)
                for world, starts in zip(self.worlds, theta, strict=True)
                for worker, start in zip(self.computing, starts, strict=True)
            ]
        losses = torch.tensor([loss for _, loss in pairs], dtype=torch.float64, device=theta.device)
        gradients = torch.stack([gradient for gradient, _ in pairs]).view(theta.shape)
        return Known(losses.view(theta.shape[:2]), gradients)

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the run's world says."""
        with threads_instead_of_lanes():
            return self.worlds[run].accuracy(theta)


@dataclass(frozen=True, eq=False)
class Known(Step):
    """Gradients that are there already."""

    losses: Float[Tensor, "runs workers"]
    gradients: Float[Tensor, "runs workers d"]

    def slab(self, runs: slice, workers: slice) -> Slab:
        """Return a part of them."""
        return Slab(runs, workers, self.gradients[runs, workers])


class Together(Differentiation):
    """Differentiate a linear stack for all workers of all runs at once."""

    def __init__(self, worlds: Sequence[World], stack: LinearStack) -> None:
        super().__init__(worlds)
        self.stack = stack
        self.sampler = Sampler(worlds)
        private = [world.spec.privacy for world in worlds]
        self.clip = _bounds([world.spec.clip for world in worlds])
        self.whole = _bounds([p.norm if p is not None and p.clip == "batch" else None for p in private])
        self.each = _bounds([p.norm if p is not None and p.clip == "sample" else None for p in private])

    def cut(self, runs: int, workers: int, d: int) -> list[Place]:
        """Return as many together as a cache holds."""
        return list(places(runs, workers, d))

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Return losses at once, and gradients as grouped products, slab by slab."""
        batch = self.sampler.draw(step, local)
        with threads_instead_of_lanes():
            losses, parts = self.stack.backward(theta, *batch, clip=self.each, shared=shared)
        return Products(losses, self, theta, parts, step, local, shared)

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the stack says."""
        with threads_instead_of_lanes():
            return self.worlds[run].share_right(lambda inputs: self.stack.outputs(theta, inputs))


@dataclass(frozen=True, eq=False)
class Products(Step):
    """Gradients still to be multiplied out, clipped, hidden by noise, and penalised."""

    losses: Float[Tensor, "runs workers"]
    way: Together
    theta: Float[Tensor, "runs workers d"]
    parts: list[tuple[Tensor, Tensor]]
    step: int
    local: int
    shared: bool

    def slab(self, runs: slice, workers: slice) -> Slab:
        """Return the gradients of some workers of some runs."""
        way, shape = self.way, (runs.stop - runs.start, workers.stop - workers.start, self.theta.shape[-1])
        gradients = way.stack.products(self.parts, runs, workers, self.theta.new_empty(shape))
        if way.whole is not None:
            gradients = clipped(gradients, way.whole[runs, None].expand(shape[:2]))
        for run in range(runs.start, runs.stop):
            own, theta = gradients[run - runs.start], self.theta[run]
            self._hide(run, workers, own)
            penalty = way.worlds[run].penalty(theta[:1] if self.shared else theta[workers])
            if penalty is not None:
                own += penalty
        if way.clip is not None:
            gradients = clipped(gradients, way.clip[runs, None].expand(shape[:2]))
        return Slab(runs, workers, gradients)

    def _hide(self, run: int, workers: slice, gradients: Tensor) -> None:
        """Add the noise of privacy to what some workers of a run computed, in place."""
        world = self.way.worlds[run]
        if world.spec.privacy is None:
            return
        for place, worker in enumerate(self.way.computing[workers]):
            hidden = world.noise(worker, self.step, self.local, world.samples(worker))
            gradients[place] += hidden.to(gradients.device)


def differentiation(worlds: Sequence[World]) -> Differentiation:
    """Return the fastest way to differentiate the model of these runs."""
    world = worlds[0]
    stack = LinearStack.of(world.module, world.flat, world.loss)
    return OneByOne(worlds) if stack is None else Together(worlds, stack)


def _bounds(values: Sequence[float | None]) -> Tensor | None:
    """Return a bound per run, infinite where there is none; None where nobody has one."""
    if all(value is None for value in values):
        return None
    return torch.tensor([float("inf") if value is None else value for value in values], dtype=torch.float64)
