"""Ways to every worker's gradient in every run of a batch.

Gradients come in slabs: those of neighbouring workers, or of whole runs of them, as many as a core's cache
holds where they are made as they are asked for. What is done to a gradient next is done while it is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.world import World
from varangian.kernels.lanes import threads_instead_of_lanes

Place = tuple[slice, slice]
"""The runs and the workers of a slab: neighbouring workers of one run, or all workers of several."""


class Step(ABC):
    """What a step's forward pass left behind: the losses, and all it takes to make any slab of gradients."""

    losses: Float[Tensor, "runs workers"]

    @abstractmethod
    def gradients(self, runs: slice, workers: slice) -> Float[Tensor, "r w d"]:
        """Return the gradients of some workers of some runs, as ``World.gradient`` gives them."""


class Differentiation(ABC):
    """A way to differentiate the losses of all workers of some runs."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing
        self.places = self.cut(len(worlds), len(self.computing), worlds[0].flat.d)

    def cut(self, runs: int, workers: int, d: int) -> list[Place]:
        """Return the slabs: here, the workers of one run each."""
        return [(slice(run, run + 1), slice(0, workers)) for run in range(runs)]

    @abstractmethod
    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Take batches, and the losses at each worker's parameters.

        ``shared`` says that the workers of a run stand at the same parameters.
        """

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return the share of test samples that a run's model gets right."""
        with threads_instead_of_lanes():
            return self.worlds[run].accuracy(theta)


@dataclass(frozen=True, eq=False)
class Known(Step):
    """Gradients that are there already."""

    losses: Float[Tensor, "runs workers"]
    made: Float[Tensor, "runs workers d"]

    def gradients(self, runs: slice, workers: slice) -> Float[Tensor, "r w d"]:
        """Return a part of them."""
        return self.made[runs, workers]


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
