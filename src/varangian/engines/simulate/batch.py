"""Runs of one shape side by side: what stays the same while they train, and what each step changes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.accounting import Accountant
from varangian.core.moments import Moments
from varangian.engines.simulate.arrivals import Arrivals
from varangian.engines.simulate.differentiation import Differentiation, Known, Step
from varangian.engines.simulate.group import Group, GroupState, Intake, kind, scatters
from varangian.engines.simulate.history import History
from varangian.engines.simulate.plan import check_alike
from varangian.engines.simulate.ways import differentiation
from varangian.engines.world import World, load
from varangian.kernels.orders import spread_on
from varangian.metrics import Columns
from varangian.specification import Experiment

TOGETHER = 8
"""Runs of a group at most: what a lane does at a time."""


@dataclass(frozen=True, eq=False)
class State:
    """All that one step of a batch hands to the next; ``seconds`` were spent before.

    ``arrivals`` and ``history`` are written over, and added to, in place.
    """

    step: int
    theta: Float[Tensor, "runs d"]
    groups: tuple[GroupState, ...]
    arrivals: Arrivals
    history: History
    seconds: float = 0.0


class Batch:
    """Runs of one shape, group after group, and what does not change while they train."""

    def __init__(
        self, specs: Sequence[Experiment], accountants: Sequence[Accountant | None] | None = None
    ) -> None:
        check_alike(specs)
        meters = accountants or [None] * len(specs)
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
        for places in [part[i : i + TOGETHER] for part in parts for i in range(0, len(part), TOGETHER)]:
            where = slice(start, start + len(places))
            group = Group(self.worlds[where], [meters[place] for place in places])
            self.groups.append((where, group))
            start = where.stop
        self.first = torch.stack([world.flat.get() for world in self.worlds])
        self.ways = self._ways()

    def start(self) -> State:
        """Return the state before the first step."""
        states = tuple(group.start(self.first[where]) for where, group in self.groups)
        arrivals = Arrivals(self.worlds, self.first)
        return State(0, self.first.clone(), states, arrivals, History(self.steps, len(self.worlds)))

    def advance(self, state: State) -> State:
        """Return the state after one more step."""
        step = state.step
        losses, sampled, sent = self._sample(state)

        def advanced(place: int) -> tuple[Tensor, GroupState, Columns]:
            where, group = self.groups[place]
            intake = Intake(state.arrivals.sent[where], sampled[where], sent[where], losses[where])
            return group.advance(state.theta[where], state.groups[place], intake, step)

        made = spread_on(state.theta.device, advanced, range(len(self.groups)))
        thetas, states, told = zip(*made, strict=True)
        theta = torch.cat(thetas)
        accuracies = self._accuracies(theta, step)
        for (where, _), columns in zip(self.groups, told, strict=True):
            columns["distance"] = (theta[where] - self.first[where]).norm(dim=-1)
            if not accuracies[where].isnan().any():
                columns["accuracy"] = accuracies[where]
            state.history.add(step, where, columns)
        return replace(state, step=step + 1, theta=theta, groups=states)

    def _accuracies(self, theta: Float[Tensor, "runs d"], step: int) -> Float[Tensor, " runs"]:
        """Return the share of test samples that each run gets right; NaN where it is not evaluated now."""
        every = [world.spec.evaluate_every for world in self.worlds]
        due = [run for run, often in enumerate(every) if step + 1 == self.steps or (step + 1) % often == 0]

        def right(run: int) -> float:
            part, _, way = next(part for part in self.ways if part[0].start <= run < part[0].stop)
            return way.accuracy(run - part.start, theta[run])

        accuracies = torch.full((len(theta),), torch.nan, dtype=torch.float64)
        accuracies[due] = torch.tensor(spread_on(theta.device, right, due), dtype=torch.float64)
        return accuracies

    @cached_property
    def digest(self) -> str:
        """Return what tells this batch from others: experiments, where they start, and the data itself."""
        mark = hashlib.blake2b(digest_size=16)
        for world, theta in zip(self.worlds, self.first, strict=True):
            model = world.spec.model
            named = (
                model if isinstance(model, str) else getattr(model, "__qualname__", type(model).__qualname__)
            )
            fields = {**vars(world.spec), "data": world.data.name, "data_dir": None, "model": named}
            mark.update(repr(fields).encode())
            mark.update(theta.cpu().numpy().tobytes())
        data = self.worlds[0].data
        for part in (data.train_inputs, data.train_labels, data.test_inputs, data.test_labels):
            mark.update(part.cpu().contiguous().numpy().data)
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

    def _sample(self, state: State) -> tuple[Tensor, Moments, Moments]:
        """Let everyone send; return their losses, and the moments of what the honest sampled and sent."""
        step, local_steps = state.step, self.worlds[0].spec.local_steps
        losses: list[Tensor] = []
        for where, shared, way in self.ways:
            starts = self._starts(state, where, shared)
            made = way.at(starts, step, 0, shared=shared)
            if local_steps > 1:
                made = self._walked(way, where, starts, made, step)
            state.arrivals.take(made, way.together, where.start)
            losses.append(made.losses)
        sampled, sent = state.arrivals.gathered()
        return torch.cat(losses), sampled, sent

    def _starts(self, state: State, where: slice, shared: bool) -> Float[Tensor, "runs workers d"]:
        """Return where each worker of some runs takes its first gradient; a view where all stand together."""
        starts = []
        for (place, group), own in zip(self.groups, state.groups, strict=True):
            if where.start <= place.start < where.stop:
                sent = state.arrivals.sent[place]
                starts.append(group.starts(state.theta[place], own, sent, state.step))
        workers = len(self.worlds[0].computing)
        if not shared:
            return torch.cat(starts)
        return torch.cat([start[:, :1] for start in starts]).expand(-1, workers, -1)

    def _walked(self, way: Differentiation, where: slice, starts: Tensor, first: Step, step: int) -> Step:
        """Return the sum of each worker's gradients over its local steps."""
        rates = [rate for _, group in self.groups for rate in group.rates(step)][where]
        reach = starts.new_tensor(rates)[:, None, None]
        total = torch.zeros_like(starts, memory_format=torch.contiguous_format)
        made = first
        for local in range(self.worlds[0].spec.local_steps):
            if local:
                made = way.at(starts - reach * total, step, local, shared=False)
            for run in range(len(total)):
                total[run] += made.gradients(slice(run, run + 1))[0].whole()
        return Known(first.losses, total)
