"""Ways to every worker's gradient in every run of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.world import World
from varangian.kernels.lanes import threads_instead_of_lanes


class Clipped(NamedTuple):
    """Gradients, a row per worker, and what each has yet to be multiplied by, if by anything."""

    rows: Float[Tensor, "workers d"]
    factors: Float[Tensor, " workers"] | None = None

    def whole(self) -> Float[Tensor, "workers d"]:
        """Return the gradients themselves."""
        return self.rows if self.factors is None else self.rows * self.factors[:, None]


class Step(ABC):
    """All it takes to make any run's gradients. The losses are there once all gradients are."""

    losses: Float[Tensor, "runs workers"]

    @abstractmethod
    def gradients(self, runs: slice) -> list[Clipped]:
        """Return the gradients of the workers of some runs, as ``World.gradient`` gives them."""


class Differentiation(ABC):
    """A way to differentiate the losses of all workers of some runs; those ``together`` are done at once."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing
        self.together = [slice(run, run + 1) for run in range(len(worlds))]

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

    def gradients(self, runs: slice) -> list[Clipped]:
        """Return those of some runs."""
        return [Clipped(made) for made in self.made[runs]]


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
