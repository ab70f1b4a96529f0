"""The batches of all workers of some runs, drawn as each run would by itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from varangian.attacks import DataAttack
from varangian.engines.world import World
from varangian.kernels.draws import Draws
from varangian.kernels.errands import Errand
from varangian.kernels.lanes import meanwhile
from varangian.kernels.scattered import Scattered

Drawn = tuple[Scattered, Tensor, Tensor]


class Sampler:
    """Gathers every batch of a step at once; runs that draw from the same streams draw once."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.computing = worlds[0].computing
        self.data = worlds[0].data
        sizes = torch.tensor([[world.samples(worker) for worker in self.computing] for world in worlds])
        width = int(sizes.max())
        shares = torch.where(torch.arange(width) < sizes[..., None], 1 / sizes[..., None].double(), 0.0)
        self.shares = shares.to(self.data.train_inputs)
        first: dict[Hashable, World] = {}  # of those who draw the same, one draws
        for world in worlds:
            first.setdefault(_stream(world), world)
        places = {stream: place for place, stream in enumerate(first)}
        self.drawing = list(first.values())
        self.drawn_as = np.array([places[_stream(world)] for world in worlds])
        each = [(world, worker) for world in self.drawing for worker in self.computing]
        self.draws = Draws(
            [world.table(worker) for world, worker in each],
            [world.samples(worker) for world, worker in each],
        )
        self._next: tuple[tuple[int, int], Errand[Drawn] | None] = ((0, 0), None)
        self.changed = [
            (run, place)
            for run, world in enumerate(worlds)
            for place, worker in enumerate(self.computing)
            if world.spec.flip or (world.lies(worker) and isinstance(world.spec.attack, DataAttack))
        ]

    def draw(self, step: int, local: int) -> Drawn:
        """Return inputs, labels and the share of every sample; what fills up a small batch has none.

        On the CPU, what is likely to be asked for next is drawn meanwhile.
        """
        asked, promise = self._next
        drawn = (
            promise.result() if promise is not None and asked == (step, local) else self._drawn(step, local)
        )
        spec = self.worlds[0].spec
        following = (step, local + 1) if local + 1 < spec.local_steps else (step + 1, 0)
        wanted = following[0] < spec.steps and self.data.train_labels.device.type == "cpu"
        self._next = following, meanwhile(lambda: self._drawn(*following)) if wanted else None
        return drawn

    def _drawn(self, step: int, local: int) -> Drawn:
        where = {"step": step, "local": local}
        keys = [world.stream.keys("batch", self.computing, **where) for world in self.drawing]
        # What fills a batch up is a sample of its own: it must not bring in another's.
        chosen = np.empty((len(self.drawing), *self.shares.shape[1:]), dtype=np.int64)
        self.draws.write(np.concatenate(keys), chosen.reshape(-1, chosen.shape[-1]))
        chosen = chosen if len(chosen) == len(self.worlds) else chosen[self.drawn_as]
        index = torch.from_numpy(chosen).to(self.data.train_labels.device)
        labels = self.data.train_labels.index_select(0, index.view(-1)).unflatten(0, index.shape)
        inputs = Scattered(self.data.train_inputs, index)
        return (self._changed(inputs, labels, step, local) if self.changed else inputs), labels, self.shares

    def _changed(self, inputs: Scattered, labels: Tensor, step: int, local: int) -> Scattered:
        """Return samples some of which were mirrored or poisoned; their labels are changed in place."""
        whole = inputs.gathered()
        for run, place in self.changed:
            size = self.worlds[run].samples(self.computing[place])
            mine = (run, place, slice(size))
            whole[mine], labels[mine] = self.worlds[run].prepared(
                whole[mine], labels[mine], self.computing[place], step, local
            )
        every = torch.arange(labels.numel(), device=labels.device)
        return Scattered(whole.flatten(0, 2), every.view(labels.shape))


def _stream(world: World) -> Hashable:
    """Return what tells from where a run draws its batches."""
    return world.spec.seed, world.spec.split
