"""Runs of one shape side by side: what stays the same while they train, and what each step changes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.engines.simulate.gradients import Differentiation, differentiation
from varangian.engines.simulate.group import Group, GroupState, kind, scatters
from varangian.engines.simulate.history import History
from varangian.engines.simulate.plan import check_alike
from varangian.engines.world import World, load
from varangian.specification import Experiment


@dataclass(eq=False)
class State:
    """All that one step of a batch hands to the next; ``seconds`` were spent before."""

    step: int
    theta: Float[Tensor, "runs d"]
    groups: list[GroupState]
    history: History
    seconds: float = 0.0


class Batch:
    """Runs of one shape, group after group, and what does not change while they train."""

    def __init__(self, specs: Sequence[Experiment]) -> None:
        check_alike(specs)
        data = load(specs[0])
        grouped: dict[Hashable, list[int]] = {}
        for place, spec in enumerate(specs):
            grouped.setdefault(kind(spec), []).append(place)
        parts = sorted(grouped.values(), key=lambda places: scatters(specs[places[0]]))
        self.order = [place for places in parts for place in places]
        self.worlds = [World.of(specs[place], data) for place in self.order]
        self.steps = specs[0].steps
        self.groups: list[tuple[slice, Group]] = []
        start = 0
        for places in parts:
            where = slice(start, start + len(places))
            self.groups.append((where, Group(self.worlds[where])))
            start = where.stop
        self.first = torch.stack([world.flat.get() for world in self.worlds])
        self.ways = self._ways()
        self.digest = self._digest()

    def start(self) -> State:
        """Return the state before the first step."""
        states = [group.start(self.first[where]) for where, group in self.groups]
        return State(0, self.first.clone(), states, History(self.steps, len(self.worlds)))

    def advance(self, state: State) -> State:
        """Return the state after one more step."""
        step = state.step
        theta: list[Tensor] = []
        states: list[GroupState] = []
        sampled, losses = self._sample(state)
        for (where, group), own in zip(self.groups, state.groups, strict=True):
            moved, after, columns = group.advance(
                state.theta[where], own, sampled[where], losses[where], step
            )
            columns["distance"] = (moved - self.first[where]).norm(dim=-1)
            if step + 1 == self.steps or (step + 1) % group.spec.evaluate_every == 0:
                right = [world.accuracy(one) for world, one in zip(group.worlds, moved, strict=True)]
                columns["accuracy"] = torch.tensor(right, dtype=torch.float64)
            state.history.add(step, where, columns)
            theta.append(moved)
            states.append(after)
        return State(step + 1, torch.cat(theta), states, state.history, state.seconds)

    def _digest(self) -> str:
        """Return what tells this batch from others: every field of its experiments, and where they start."""
        mark = hashlib.blake2b(digest_size=16)
        for world, theta in zip(self.worlds, self.first, strict=True):
            mark.update(repr({**vars(world.spec), "data": world.data.name, "data_dir": None}).encode())
            mark.update(theta.cpu().numpy().tobytes())
        return mark.hexdigest()

    def _ways(self) -> list[tuple[slice, bool, Differentiation]]:
        """Return who is differentiated together: runs whose workers share their parameters, and the rest."""
        apart = [scatters(world.spec) for world in self.worlds]
        border = apart.index(True) if True in apart else len(apart)
        parts = [(slice(0, border), True), (slice(border, len(apart)), False)]
        return [
            (where, shared, differentiation(self.worlds[where]))
            for where, shared in parts
            if where.start < where.stop
        ]

    def _sample(self, state: State) -> tuple[Tensor, Tensor]:
        """Return the sum of each worker's gradients over its local steps, and its first loss."""
        step = state.step
        starts = torch.cat(
            [
                group.starts(state.theta[where], own, step)
                for (where, group), own in zip(self.groups, state.groups, strict=True)
            ]
        )
        rates = starts.new_tensor([rate for _, group in self.groups for rate in group.rates(step)])
        sampled, losses = [], []
        for where, shared, way in self.ways:
            total, loss = way.at(starts[where], step, 0, shared=shared)
            for local in range(1, self.worlds[0].spec.local_steps):
                total = total.clone() if local == 1 else total
                here = starts[where] - rates[where, None, None] * total
                total += way.at(here, step, local, shared=False)[0]
            sampled.append(total)
            losses.append(loss)
        if len(self.ways) == 1:
            return sampled[0], losses[0]
        return torch.cat(sampled), torch.cat(losses)
