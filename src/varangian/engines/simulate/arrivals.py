"""What arrives at the servers of a batch, kept where momentum at the worker gathers it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.moments import Moments
from varangian.engines.simulate.gradients import Slab
from varangian.engines.world import World


class Arrivals:
    """One row for everyone who computes, and room for the forged after the honest.

    A row is what its worker sends: the gradient, or its momentum, which grows out of the row of the step
    before.
    """

    def __init__(self, worlds: Sequence[World], first: Float[Tensor, "runs d"]) -> None:
        spec = worlds[0].spec
        self.honest, self.computing = spec.honest, len(worlds[0].computing)
        self.rows = first.new_zeros(len(first), max(spec.workers, self.computing), first.shape[-1])
        self.mu = _column([w.spec.momentum if _keeps(w) else 0.0 for w in worlds], first)
        self.new = _column([1 - w.spec.dampening if _keeps(w) else 1.0 for w in worlds], first)
        self._sampled, self._sent = Gathered(), Gathered()
        self.keeps = torch.tensor([_keeps(world) for world in worlds], device=first.device)[:, None, None]

    @property
    def sent(self) -> Float[Tensor, "runs workers d"]:
        """Return what everyone who computes sends, and last the server's own where it is trusted."""
        return self.rows[:, : self.computing]

    def take(self, slab: Slab) -> None:
        """Turn the gradients of a slab into what their workers send; slabs come in order."""
        self._keep(slab)
        honest = min(slab.workers.stop, self.honest) - slab.workers.start
        if honest > 0:
            sent = self.rows[slab.runs, slab.workers]
            self._sampled.add(slab, Moments.of(slab.gradients[:, :honest]))
            self._sent.add(slab, Moments.of(sent[:, :honest]))

    def gathered(self) -> tuple[Moments, Moments]:
        """Return the moments of what the honest sampled and sent since the last call."""
        moments = self._sampled.all(), self._sent.all()
        self._sampled, self._sent = Gathered(), Gathered()
        return moments

    def _keep(self, slab: Slab) -> None:
        rows = self.rows[slab.runs, slab.workers]
        mu, new, keeps = self.mu[slab.runs], self.new[slab.runs], self.keeps[slab.runs]
        if not bool(keeps.any()):
            rows.copy_(slab.gradients)
        elif len(rows) == 1 and float(new) == 1:
            torch.add(slab.gradients, rows, alpha=float(mu), out=rows)
        elif bool(keeps.all()):
            rows.mul_(mu).add_(slab.gradients * new)
        else:
            rows.copy_(torch.where(keeps, rows * mu + slab.gradients * new, slab.gradients))


class Gathered:
    """The moments of every run's rows, gathered slab by slab."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, Moments]] = []

    def add(self, slab: Slab, moments: Moments) -> None:
        """Take in a slab's moments; a run that came before is one with what came then."""
        if self._runs and self._runs[-1][0] == slab.runs.start:
            moments = self._runs.pop()[1].merged(moments)
        self._runs.append((slab.runs.start, moments))

    def all(self) -> Moments:
        """Return the moments of all runs as one."""
        parts = [moments for _, moments in self._runs]
        if len(parts) == 1:
            return parts[0]
        mean, squares = (torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "squares"))
        return Moments(parts[0].count, mean, squares)


def _keeps(world: World) -> bool:
    """Tell whether workers keep momentum of their own."""
    return world.spec.momentum_at == "worker"


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
