"""What arrives at the servers of a batch, kept where momentum at the worker gathers it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.moments import Moments
from varangian.engines.simulate.differentiation import Clipped, Step
from varangian.engines.world import World
from varangian.kernels.lanes import spread
from varangian.kernels.moments import gather

Spread = tuple[Tensor, Tensor]
"""A mean, and squared deviations from it."""


class Arrivals:
    """One row for everyone who computes.

    A row is what its worker sends: the gradient, or its momentum, which grows out of the row of the step
    before.
    """

    def __init__(self, worlds: Sequence[World], first: Float[Tensor, "runs d"]) -> None:
        spec = worlds[0].spec
        self.honest, self.computing = spec.honest, len(worlds[0].computing)
        self.sent = first.new_zeros(len(first), self.computing, first.shape[-1])
        self.kept = [_kept(world) for world in worlds]
        self._told: list[tuple[Spread, Spread]] = []

    def take(self, step: Step, together: Sequence[slice], first: int) -> None:
        """Turn the gradients of a step into what the workers of some runs send, counted from ``first``."""

        def taken(runs: slice) -> list[tuple[Spread, Spread]]:
            made = step.gradients(runs)
            return [self._taken(gradients, run) for run, gradients in enumerate(made, first + runs.start)]

        self._told += [told for some in spread(taken, together) for told in some]

    def gathered(self) -> tuple[Moments, Moments]:
        """Return the moments of what the honest sampled and sent since the last call, run after run."""
        told, self._told = self._told, []
        sampled, sent = zip(*told, strict=True)
        return self._together(sampled), self._together(sent)

    def _taken(self, gradients: Clipped, run: int) -> tuple[Spread, Spread]:
        """Write what a run's workers send over what they sent before; return the honest ones' moments."""
        rows, factors = gradients
        sent = self.sent[run]
        honest, others = slice(self.honest), slice(self.honest, None)
        if self.computing > self.honest:
            rest = None if factors is None else factors[others]
            gather(rows[others], rest, sent[others], self.kept[run])
        return gather(
            rows[honest], None if factors is None else factors[honest], sent[honest], self.kept[run]
        )

    def _together(self, parts: Sequence[Spread]) -> Moments:
        mean, squares = (torch.stack(side) for side in zip(*parts, strict=True))
        return Moments(self.honest, mean, squares)


def _kept(world: World) -> tuple[float, float] | None:
    """Return the shares of what was sent and of what is sampled; None without momentum at the worker."""
    spec = world.spec
    return (spec.momentum, 1 - spec.dampening) if spec.momentum_at == "worker" else None
