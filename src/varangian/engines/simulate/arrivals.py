"""What arrives at the servers of a batch, kept where momentum at the worker gathers it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.moments import Moments
from varangian.engines.simulate.differentiation import Place, Step
from varangian.engines.world import World
from varangian.kernels.lanes import each


class Arrivals:
    """One row for everyone who computes, and room for the forged after the honest.

    A row is what its worker sends: the gradient, or its momentum, which grows out of the row of the step
    before.
    """

    def __init__(self, worlds: Sequence[World], first: Float[Tensor, "runs d"]) -> None:
        spec = worlds[0].spec
        self.honest, self.computing = spec.honest, len(worlds[0].computing)
        self.rows = first.new_zeros(len(first), max(spec.workers, self.computing), first.shape[-1])
        self.kept = [_kept(world) for world in worlds]
        self._sampled: list[tuple[int, Moments]] = []

    @property
    def sent(self) -> Float[Tensor, "runs workers d"]:
        """Return what everyone who computes sends, and last the server's own where it is trusted."""
        return self.rows[:, : self.computing]

    def take(self, step: Step, places: Sequence[Place], first: int) -> None:
        """Turn the gradients of a step into what their workers send; runs are counted from ``first``."""
        told = each(lambda place: self._taken(step.gradients(*place), place, first), places)
        self._sampled += [one for one in told if one is not None]

    def gathered(self) -> tuple[Moments, Moments]:
        """Return the moments of what the honest sampled and sent since the last call."""
        sent = Moments.of(self.rows[:, : self.honest])
        sampled, self._sampled = together(self._sampled), []
        return sampled, sent

    def _taken(self, gradients: Tensor, place: Place, first: int) -> tuple[int, Moments] | None:
        """Return the slab's first run, and the moments of what its honest workers sampled."""
        runs, workers = slice(place[0].start + first, place[0].stop + first), place[1]
        self._keep(runs, self.rows[runs, workers], gradients)
        honest = min(workers.stop, self.honest) - workers.start
        if honest <= 0:
            return None
        return runs.start, Moments.of(gradients[:, :honest], summed=True)

    def _keep(self, runs: slice, rows: Tensor, gradients: Tensor) -> None:
        """Write what is sent over what was sent before, run by run."""
        for kept, row, gradient in zip(self.kept[runs], rows, gradients, strict=True):
            if kept is None:
                row.copy_(gradient)
            else:
                mu, new = kept
                torch.add(gradient if new == 1 else new * gradient, row, alpha=mu, out=row)


def together(parts: Sequence[tuple[int, Moments]]) -> Moments:
    """Return the moments of all runs as one, given those of slabs in order, each with its first run."""
    whole: list[tuple[int, Moments]] = []
    for run, moments in parts:
        joined = whole.pop()[1].merged(moments) if whole and whole[-1][0] == run else moments
        whole.append((run, joined))
    if len(whole) == 1:
        return whole[0][1]
    mean, squares = (torch.cat([getattr(m, name) for _, m in whole]) for name in ("mean", "squares"))
    return Moments(whole[0][1].count, mean, squares)


def _kept(world: World) -> tuple[float, float] | None:
    """Return the shares of what was sent and of what is sampled; None without momentum at the worker."""
    spec = world.spec
    return (spec.momentum, 1 - spec.dampening) if spec.momentum_at == "worker" else None
