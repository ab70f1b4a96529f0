"""Every worker's gradient in every run of a batch, by the fastest way that the model allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.attacks import DataAttack
from varangian.engines.simulate.stacks import LinearStack
from varangian.engines.world import World

Gradients = tuple[Float[Tensor, "runs workers d"], Float[Tensor, "runs workers"]]
"""A gradient and a loss for everyone who computes."""


class Differentiation(ABC):
    """A way to differentiate the losses of all workers of some runs."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing

    @abstractmethod
    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Gradients:
        """Return the gradients at each worker's parameters, as ``World.gradient`` would one by one.

        ``shared`` says that the workers of a run stand at the same parameters. The result may be written
        over by the next call.
        """


class OneByOne(Differentiation):
    """Ask each run's own world: for models with memory, random layers, or layers of any kind."""

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Gradients:
        """Return the gradients, one worker after the other."""
        pairs = [
            world.gradient(start, worker, step, local)
            for world, starts in zip(self.worlds, theta, strict=True)
            for worker, start in zip(self.computing, starts, strict=True)
        ]
        gradients = torch.stack([gradient for gradient, _ in pairs]).view(theta.shape)
        losses = torch.tensor([loss for _, loss in pairs], dtype=torch.float64, device=theta.device)
        return gradients, losses.view(theta.shape[:2])


class Together(Differentiation):
    """Differentiate a linear stack for all workers of all runs at once."""

    def __init__(self, worlds: Sequence[World], stack: LinearStack) -> None:
        super().__init__(worlds)
        self.stack = stack
        self.batches = Sampler(worlds)
        self.out: Tensor | None = None
        self.clip = _bounds([world.spec.clip for world in worlds])
        private = [world.spec.privacy for world in worlds]
        self.whole = _bounds([p.norm if p is not None and p.clip == "batch" else None for p in private])
        self.each = _bounds([p.norm if p is not None and p.clip == "sample" else None for p in private])

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Gradients:
        """Return the gradients: grouped products, noise, penalties, clipping."""
        inputs, labels, shares = self.batches.draw(step, local)
        if self.out is None or self.out.shape != theta.shape:
            self.out = theta.new_empty(theta.shape)
        gradients, losses = self.stack.gradients(
            theta, inputs, labels, shares, clip=self.each, shared=shared, out=self.out
        )
        if self.whole is not None:
            shorten(gradients, self.whole)
        for world, own, start in zip(self.worlds, gradients, theta, strict=True):
            self._finish(world, own, start, step, local, shared=shared)
        if self.clip is not None:
            shorten(gradients, self.clip)
        return gradients, losses

    def _finish(
        self, world: World, gradients: Tensor, theta: Tensor, step: int, local: int, *, shared: bool
    ) -> None:
        """Add the noise of privacy and the penalties to what one run's workers computed."""
        if world.spec.privacy is not None:
            for place, worker in enumerate(self.computing):
                hidden = world.noise(worker, step, local, world.samples(worker))
                gradients[place] += hidden.to(gradients.device)
        penalty = world.penalty(theta[:1] if shared else theta)
        if penalty is not None:
            gradients += penalty


class Sampler:
    """The batches of all workers of some runs, drawn as each run would by itself."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing
        self.data = worlds[0].data
        sizes = torch.tensor([[world.samples(worker) for worker in self.computing] for world in worlds])
        self.width = int(sizes.max())
        beyond = torch.arange(self.width) >= sizes[..., None]
        shares = torch.where(beyond, 0.0, 1 / sizes[..., None].double())
        self.shares = shares.to(self.data.train_inputs)
        self.changed = [
            (run, place)
            for run, world in enumerate(worlds)
            for place, worker in enumerate(self.computing)
            if world.spec.flip or (world.lies(worker) and isinstance(world.spec.attack, DataAttack))
        ]

    def draw(self, step: int, local: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs, labels and the share of every sample; what fills up a small batch has none."""
        chosen = np.zeros((*self.shares.shape,), dtype=np.int64)
        drawn: dict[object, np.ndarray] = {}
        for run, world in enumerate(self.worlds):
            known = (world.spec.seed, world.spec.split)
            if known not in drawn:
                for place, worker in enumerate(self.computing):
                    own = world.drawn(worker, step, local)
                    chosen[run, place, : len(own)] = own
                drawn[known] = chosen[run]
            else:
                chosen[run] = drawn[known]
        index = torch.from_numpy(chosen).to(self.data.train_labels.device)
        inputs, labels = self.data.train_inputs[index], self.data.train_labels[index]
        for run, place in self.changed:
            size = self.worlds[run].samples(self.computing[place])
            mine = (run, place, slice(size))
            inputs[mine], labels[mine] = self.worlds[run].prepared(
                inputs[mine], labels[mine], self.computing[place], step, local
            )
        return inputs, labels, self.shares


def differentiation(worlds: Sequence[World]) -> Differentiation:
    """Return the fastest way to differentiate the model of these runs."""
    world = worlds[0]
    stack = LinearStack.of(world.module, world.flat, world.loss)
    return OneByOne(worlds) if stack is None else Together(worlds, stack)


def shorten(gradients: Float[Tensor, "runs workers d"], bounds: Float[Tensor, " runs"]) -> None:
    """Scale gradients down to their run's bound, in place, where they are longer."""
    norms = torch.linalg.vector_norm(gradients, dim=-1)
    limit = bounds.to(norms)[:, None].expand_as(norms)
    over = norms > limit
    for run in over.any(-1).nonzero()[:, 0].tolist():
        gradients[run] *= torch.where(over[run], limit[run] / norms[run], 1.0)[:, None]


def _bounds(values: Sequence[float | None]) -> Tensor | None:
    """Return a bound per run, infinite where there is none; None where nobody has one."""
    if all(value is None for value in values):
        return None
    return torch.tensor([float("inf") if value is None else value for value in values], dtype=torch.float64)
