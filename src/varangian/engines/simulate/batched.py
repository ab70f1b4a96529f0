"""Gradients of whole batches: what is drawn at once, and what is done to a gradient once it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.simulate.differentiation import Clipped, Differentiation, Step
from varangian.engines.simulate.reading import read_gradients, takes
from varangian.engines.simulate.sampler import Sampler
from varangian.engines.simulate.stacks import LinearStack
from varangian.engines.world import World, clipping, shortening
from varangian.kernels.lanes import lanes
from varangian.kernels.orders import each_on

Plain = tuple[Float[Tensor, "some workers d"], Float[Tensor, "some workers"] | None]
"""Gradients as they are computed, and their norms if these are known already."""

PART = 2**20
"""Numbers of the inputs that are differentiated together."""

EVALUATED = 2500
"""Test samples that are judged together: fewer would take longer to hand out than to judge."""


class Batched(Differentiation):
    """A way that computes the plain gradients of many workers at once."""

    def __init__(self, worlds: Sequence[World]) -> None:
        super().__init__(worlds)
        self.sampler = Sampler(worlds)
        private = [world.spec.privacy for world in worlds]
        self.clip = _bounds([world.spec.clip for world in worlds])
        self.whole = _bounds([p.norm if p is not None and p.clip == "batch" else None for p in private])
        self.each = _bounds([p.norm if p is not None and p.clip == "sample" else None for p in private])


@dataclass(frozen=True, eq=False)
class Sampled(Step):
    """Gradients still to be clipped, hidden by noise, and penalised; ``plain`` makes them, and the losses."""

    losses: Float[Tensor, "runs workers"]
    plain: Callable[[slice], Plain]
    way: Batched
    theta: Float[Tensor, "runs workers d"]
    step: int
    local: int
    shared: bool

    def gradients(self, runs: slice) -> list[Clipped]:
        """Return the gradients of the workers of some runs, to be clipped."""
        rows, norms = self.plain(runs)
        known = [None] * len(rows) if norms is None else norms
        return [self._told(run, *told) for run, told in enumerate(zip(rows, known, strict=True), runs.start)]

    def _told(self, run: int, gradients: Tensor, norms: Tensor | None) -> Clipped:
        way, world = self.way, self.way.worlds[run]
        if way.whole is not None:
            gradients, norms = Clipped(gradients, clipping(gradients, way.whole[run])).whole(), None
        if world.spec.privacy is not None:
            self._hide(world, gradients)
            norms = None
        penalty = world.penalty(self.theta[run, :1] if self.shared else self.theta[run])
        if penalty is not None:
            gradients += penalty
            norms = None
        if way.clip is None:
            return Clipped(gradients)
        norms = gradients.norm(dim=-1) if norms is None else norms
        return Clipped(gradients, shortening(norms, way.clip[run]))

    def _hide(self, world: World, gradients: Tensor) -> None:
        """Add the noise of privacy to what a run's workers computed, in place."""
        for place, worker in enumerate(self.way.computing):
            hidden = world.noise(worker, self.step, self.local, world.samples(worker))
            gradients[place] += hidden.to(gradients.device)


class Stacked(Batched):
    """Differentiate a linear stack by grouped products: some small runs at once, or some workers of one."""

    def __init__(self, worlds: Sequence[World], stack: LinearStack) -> None:
        super().__init__(worlds)
        self.stack = stack
        world = worlds[0]
        samples, inputs = self.sampler.shares.shape[-1], world.data.train_inputs[0].numel()
        workers = len(self.computing)
        runs = max(1, PART // (workers * samples * inputs))
        self.together = [slice(run, min(run + runs, len(worlds))) for run in range(0, len(worlds), runs)]
        self.parts = -(-workers * samples * inputs // PART)
        # The loss of a batch refuses outputs of a wrong shape, and says what to change.
        world.loss(stack.outputs(world.flat.get(), world.data.test_inputs[:1]), world.data.test_labels[:1])

    def at(self, theta: Float[Tensor, "runs workers d"], step: int, local: int, *, shared: bool) -> Step:
        """Return what makes gradients as they are asked for."""
        inputs, labels, shares = self.sampler.draw(step, local)
        losses = torch.zeros_like(shares[..., 0])

        def read(runs: slice) -> Plain:
            made = theta.new_empty(runs.stop - runs.start, *theta.shape[1:])
            norms = made.new_empty(made.shape[:2])

            def some(group: slice) -> None:
                for place, run in enumerate(range(runs.start, runs.stop)):
                    given = inputs[run, group], labels[run, group], shares[run, group], made[place, group]
                    losses[run, group], norms[place, group] = read_gradients(
                        self.stack, theta[run, 0], *given
                    )

            each_on(made.device, some, self._cut(lanes()))
            return made, norms

        def plain(runs: slice) -> Plain:
            made = theta.new_empty(runs.stop - runs.start, *theta.shape[1:])
            clip = None if self.each is None else self.each[runs]

            def some(group: slice) -> None:
                where = runs, group
                given = theta[where], inputs[where].gathered(), labels[where], shares[where]
                losses[where] = self.stack.gradients(*given, made[:, group], clip=clip, shared=shared)

            each_on(made.device, some, self._cut(self.parts))
            return made, None

        direct = shared and self.each is None and takes(self.stack, inputs)
        return Sampled(losses, read if direct else plain, self, theta, step, local, shared)

    def _cut(self, parts: int) -> list[slice]:
        """Return who of a run's workers is differentiated at once."""
        workers = len(self.computing)
        some = -(-workers // parts)
        return [slice(first, min(first + some, workers)) for first in range(0, workers, some)]

    def accuracy(self, run: int, theta: Float[Tensor, " d"]) -> float:
        """Return what the stack says."""
        share_out = partial(each_on, theta.device)
        return self.worlds[run].share_right(
            lambda inputs: self.stack.outputs(theta, inputs), share_out, EVALUATED
        )


def _bounds(values: Sequence[float | None]) -> Tensor | None:
    """Return a bound per run, infinite where there is none; None where nobody has one."""
    if all(value is None for value in values):
        return None
    return torch.tensor([float("inf") if value is None else value for value in values], dtype=torch.float64)
