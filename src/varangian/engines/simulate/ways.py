"""Which way to differentiate is the fastest for a model."""

from __future__ import annotations

from collections.abc import Sequence

from varangian.engines.simulate.batched import Stacked
from varangian.engines.simulate.differentiation import Differentiation, OneByOne
from varangian.engines.simulate.mapped import Mapped, can_be_mapped
from varangian.engines.simulate.stacks import LinearStack
from varangian.engines.world import World


def differentiation(worlds: Sequence[World]) -> Differentiation:
    """Return the fastest way to differentiate the model of these runs that gives the loop's gradients."""
    world = worlds[0]
    stack = LinearStack.of(world.module, world.flat, world.loss)
    if stack is not None:
        return Stacked(worlds, stack)
    return Mapped(worlds) if can_be_mapped(worlds) else OneByOne(worlds)
