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


class Differentiation(ABC):
    """A way to differentiate the losses of all workers of some runs."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing

    @abstractmethod
    def at(
        self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool
    ) -> tuple[Float[Tensor, "runs workers"], Iterator[Slab]]:
        """Return the losses and the gradients at each worker's parameters, as ``World.gradient`` gives them.

        ``shared`` says that the workers of a run stand at the same parameters. A slab is written over by the
        next one.
        """

    @abstractmethod
    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return the share of test samples that a run's model gets right."""

    def slabs(self, d: int) -> Iterator[tuple[slice, slice]]:
        """Yield runs and workers, slab by slab."""
        runs, workers = len(self.worlds), len(self.computing)
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

    def at(
        self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool
    ) -> tuple[Float[Tensor, "runs workers"], Iterator[Slab]]:
        """Return losses and gradients, one worker after the other."""
        pairs = [
            world.gradient(start, worker, step, local)
            for world, starts in zip(self.worlds, theta, strict=True)
            for worker, start in zip(self.computing, starts, strict=True)
        ]
        losses = torch.tensor([loss for _, loss in pairs], dtype=torch.float64, device=theta.device)
        gradients = torch.stack([gradient for gradient, _ in pairs]).view(theta.shape)
        everyone = slice(0, len(self.worlds)), slice(0, len(self.computing))
        return losses.view(theta.shape[:2]), iter([Slab(*everyone, gradients)])

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the run's world says."""
        return self.worlds[run].accuracy(theta)


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

    def at(
        self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool
    ) -> tuple[Float[Tensor, "runs workers"], Iterator[Slab]]:
        """Return losses at once, and gradients as grouped products, slab by slab."""
        inputs, labels, shares = self.sampler.draw(step, local)
        losses, parts = self.stack.backward(theta, inputs, labels, shares, clip=self.each, shared=shared)
        return losses, self._finished(theta, parts, step, local, shared=shared)

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the stack says."""
        return self.worlds[run].share_right(lambda inputs: self.stack.outputs(theta, inputs))

    def _finished(
        self, theta: Tensor, parts: list[tuple[Tensor, Tensor]], step: int, local: int, *, shared: bool
    ) -> Iterator[Slab]:
        """Yield the gradients, clipped, hidden by noise, penalised."""
        d, space = theta.shape[-1], theta.new_empty(0)
        for runs, workers in self.slabs(d):
            shape = (runs.stop - runs.start, workers.stop - workers.start, d)
            if space.shape != shape:
                space = theta.new_empty(shape)
            gradients = self.stack.products(parts, runs, workers, space)
            if self.whole is not None:
                gradients = clipped(gradients, self.whole[runs, None].expand(shape[:2]))
            for run in range(runs.start, runs.stop):
                own = gradients[run - runs.start]
                self._hide(run, workers, own, step, local)
                penalty = self.worlds[run].penalty(theta[run, :1] if shared else theta[run, workers])
                if penalty is not None:
                    own += penalty
            if self.clip is not None:
                gradients = clipped(gradients, self.clip[runs, None].expand(shape[:2]))
            yield Slab(runs, workers, gradients)

    def _hide(self, run: int, workers: slice, gradients: Tensor, step: int, local: int) -> None:
        """Add the noise of privacy to what some workers of a run computed, in place."""
        world = self.worlds[run]
        if world.spec.privacy is None:
            return
        for place, worker in enumerate(self.computing[workers]):
            hidden = world.noise(worker, step, local, world.samples(worker))
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
