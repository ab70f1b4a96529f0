"""What arrives at the servers of a batch, kept where momentum at the worker gathers it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.moments import Moments
from varangian.engines.simulate.differentiation import Clipped, Step
from varangian.engines.world import World
from varangian.kernels.moments import gather
from varangian.kernels.orders import spread_on


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
        self._told = first.new_empty(3, 0, 0)
        self._spread: list[float] = []

    def take(self, step: Step, together: Sequence[slice], first: int) -> None:
        """Turn the gradients of a step into what the workers of some runs send, counted from ``first``."""
        if not self._spread:
            self._told = self.sent.new_empty(3, len(self.sent), self.sent.shape[-1])

        def taken(runs: slice) -> list[float]:
            made = step.gradients(runs)
            return [self._taken(gradients, run) for run, gradients in enumerate(made, first + runs.start)]

        self._spread += [total for some in spread_on(self.sent.device, taken, together) for total in some]

    def gathered(self) -> tuple[Moments, Moments]:
        """Return the moments of what the honest sampled and sent since the last call, run after run."""
        mean, sent_mean, squares = self._told
        total, self._spread = mean.new_tensor(self._spread)[:, None], []
        return Moments(self.honest, mean, total), Moments(self.honest, sent_mean, squares)

    def _taken(self, gradients: Clipped, run: int) -> float:
        """Write what a run's workers send over what they sent before; return how far the honest spread."""
        sent, told = self.sent[run], self._told[:, run]

        def gathered(who: slice, told: Tensor) -> float:
            factors = None if gradients.factors is None else gradients.factors[who]
            return gather(gradients.rows[who], factors, sent[who], self.kept[run], told)

        if self.computing > self.honest:
            gathered(slice(self.honest, None), torch.empty_like(told))
        return gathered(slice(self.honest), told)


def _kept(world: World) -> tuple[float, float] | None:
    """Return the shares of what was sent and of what is sampled; None without momentum at the worker."""
    spec = world.spec
    return (spec.momentum, 1 - spec.dampening) if spec.momentum_at == "worker" else None
