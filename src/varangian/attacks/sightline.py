"""What a rule makes of forgeries on a line, mostly without touching a vector again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.attacks.attack import Scene, repeat
from varangian.core.chain import chain
from varangian.core.inputs import Stacks, read
from varangian.core.needs import NeedsVectors, Pivot, Reads
from varangian.core.points import Points
from varangian.core.run import Aggregation, extra_vectors, place
from varangian.core.stages import CoordinateRule, ScalingMixer, Stage
from varangian.core.tables import fold
from varangian.kernels.combine import compilable
from varangian.kernels.deviations import deviations
from varangian.kernels.rows import WORKING_DTYPES, Rows, Segment

PLATEAU = 1e-9
"""Deviations this close, relatively, are equal."""


class Sightline:
    """All liars send mu + factor * direction; what comes out, as a function of the factor.

    One read measures the honest vectors, mu and mu + direction. Every candidate is then an affine
    combination of these, planned on its folded table. A geometric chain needs no more; one that ends on
    columns reads the vectors once for all candidates; weights of the parties, or a candidate too far to
    keep its digits, take an aggregation of their own. Nothing is copied: mu, the mean of the honest vectors,
    is made where they are read, and the direction stands below them.
    """

    def __init__(self, scene: Scene, rule: Stage, mu: Tensor, direction: Tensor) -> None:
        self.scene = scene
        self.rule = rule
        self.mu = mu
        self.direction = direction
        self.h = scene.honest.shape[-2]
        self._measure()

    def reach(self) -> Float[Tensor, "*batch"]:
        """Return the factor that goes as far from the mean as the furthest honest vector is."""
        furthest = self.table[..., : self.h, self.h].amax(-1).sqrt().to(self.mu.device)
        furthest = torch.where(furthest > 0, furthest, self.mu.norm(dim=-1))
        length = self.direction.norm(dim=-1)
        return torch.where(length > 0, furthest / torch.where(length > 0, length, 1.0), 1.0)

    def deviations(self, factors: Float[Tensor, "k *batch"]) -> Float[Tensor, "k *batch"]:
        """Return |F(honest and forged) - mu|^2 for each candidate factor."""
        try:
            points, made = self._placed(factors)
        except NeedsVectors:
            if len(factors) == 1:
                return self.deviation(factors[0])[None]
            half = len(factors) // 2
            return torch.cat([self.deviations(factors[:half]), self.deviations(factors[half:])])
        by_column = points.columns is not None
        found = (self._deviations_by_column if by_column else self._deviations_by_distance)(points, made)
        return found.to(factors.device)

    def deviation(self, factor: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return |F(honest and forged) - mu|^2 as a real aggregation of what is sent gives it."""
        result: Tensor = self._aggregated(factor, self.rule).value
        return (result.double() - self.mu).square().sum(-1).nan_to_num(nan=0.0)

    def within(self, factors: Float[Tensor, "*more"]) -> Float[Tensor, "*more"]:
        """Return the factors, none so large that a coordinate is no finite number where it is sent."""
        furthest = self.mu.norm(dim=-1) + factors.abs() * self.direction.norm(dim=-1)
        least = min(torch.finfo(kind).max for kind in self.scene.kinds)
        if bool((furthest <= least).all()):  # and no coordinate is larger than the norm
            return factors
        return torch.minimum(factors, self._limit)

    @cached_property
    def _limit(self) -> Float[Tensor, "*batch"]:
        along = self.direction.abs()
        room = self.scene.largest - self.direction.sign() * self.mu
        return torch.where(along > 0, room / along, torch.inf).nan_to_num(nan=torch.inf).amin(-1)

    def selected(self, factors: Float[Tensor, " *batch"]) -> Bool[Tensor, " *batch"]:
        """Tell whether the forgeries keep at least half of their fair share b / n in what is selected.

        Where the table does not suffice, a real aggregation tells.
        """
        return self._held(self._mix(factors))

    def selected_as_sent(self, factors: Float[Tensor, " *batch"]) -> Bool[Tensor, " *batch"]:
        """Tell the same by a real aggregation of what is sent."""
        return self._held(self._mix_as_sent(factors))

    def leaves_out(self, factors: Float[Tensor, " *batch"]) -> Bool[Tensor, " *batch"]:
        """Tell whether the rule selects: whether some vector weighs nothing in what it makes of the others.

        To decide by column, to scale, or to mix whatever comes, is not to select.
        """
        stages = self.rule.stages()
        if all(
            isinstance(one, (CoordinateRule, ScalingMixer)) or one.reads is Reads.NOTHING for one in stages
        ):
            return torch.zeros_like(factors, dtype=torch.bool)
        return (self._mix(factors) == 0).flatten(-2).any(-1)

    def _held(self, mix: Tensor) -> Tensor:
        """Tell whether the forgeries hold their part of what all vectors weigh; scaled, that is not one."""
        weights = mix.abs().mean(-2)
        total = weights.sum(-1)
        share = weights[..., self.h :].sum(-1) / torch.where(total > 0, total, 1.0)
        held: Tensor = share >= 0.5 * self.scene.b / self.scene.n
        return held

    def _mix(self, factors: Tensor) -> Tensor:
        """Return what the n vectors weigh in each row that is left of them, ``(*batch, rows, n)``."""
        try:
            mix = self._placed(factors[None])[0].mix
        except NeedsVectors:
            if self.rows.batch and self.rows.batch_size > 1:
                alone = [
                    one._mix(factor) for one, factor in zip(self._runs(), factors.flatten(), strict=True)
                ]
                return torch.stack(alone).view(*factors.shape, *alone[0].shape)
            return self._mix_as_sent(factors)
        assert mix is not None
        return mix[0, ..., : self.scene.n].to(factors.device)

    def _mix_as_sent(self, factors: Tensor) -> Tensor:
        """Return it as a real aggregation gives it, up to the rules that decide by column."""
        stages = self.rule.stages()
        before = [stage for stage in stages if not isinstance(stage, CoordinateRule)]
        rule = self.rule if len(before) == len(stages) else chain(*before, allow_different_f=True)
        weights = self._aggregated(factors, rule).weights
        assert weights is not None
        return weights.reshape(*factors.shape, -1, self.scene.n).to(factors.device)

    def _runs(self) -> Iterator[Sightline]:
        """Yield the runs of the batch, each by itself."""
        axes = len(self.rows.batch)
        for run in np.ndindex(self.rows.batch):
            own = {
                name: value[run] if isinstance(value, Tensor) and value.ndim > axes else value
                for name, value in self.scene.options.items()
            }
            scene = replace(self.scene, honest=self.scene.honest[run], options=own, moments=None)
            yield Sightline(scene, self.rule, self.mu[run], self.direction[run])

    def _measure(self) -> None:
        options = self.scene.options
        wanted = {p for stage in self.rule.stages() for p in stage.pivots} - {Pivot.MEDIAN}
        vectors = read(self.scene.honest)
        extras = extra_vectors(self.rule, vectors, wanted, options.get("state"), options.get("pivot"))
        self.companions = (*extras, *({Pivot.ORIGIN} & wanted))
        honest = self.scene.honest
        honest = honest.to(WORKING_DTYPES[honest.dtype])
        below = self.direction[..., None, :].to(honest.dtype)
        self.rows = Rows([Segment((honest, below))], list(extras.values()))
        mix = torch.eye(self.h + 2, self.h + 1, dtype=torch.float64, device="cpu")
        mix[self.h :] = 1 / self.h
        mix[self.h :, self.h] = mix.new_tensor([0.0, 1.0])
        mix = mix.expand(*self.rows.batch, *mix.shape)
        points = Points(self.h + 2, self.companions, rows=self.rows, mix=mix)
        self.table = points.table(Reads.PAIRS, self.companions)

    def _placed(self, factors: Tensor) -> tuple[Points, Tensor]:
        """Return where the rule's stages leave each candidate, and what each point is made of: on the CPU."""
        if self.scene.options.get("weights") is not None:
            raise NeedsVectors
        factors = factors.cpu()
        n, base = self.scene.n, self.h + 2
        extra = len(self.companions)
        made = factors.new_zeros(*factors.shape, n + extra, base + extra)
        made[..., : self.h, : self.h] = torch.eye(self.h, dtype=made.dtype, device=made.device)
        made[..., self.h : n, self.h] = (1 - factors)[..., None]
        made[..., self.h : n, self.h + 1] = factors[..., None]
        made[..., n:, base:] = torch.eye(extra, dtype=made.dtype, device=made.device)
        table, exact = fold(self.table, made)
        if not bool(exact.all()):
            raise NeedsVectors
        return place(self.rule, table, n, self.companions, self.scene.options.get("stream")), made

    def _deviations_by_distance(self, points: Points, made: Tensor) -> Tensor:
        """Return what the table alone tells of a linear combination."""
        assert points.mix is not None
        weights = points.mix[..., 0, :]
        c = (weights[..., None, :] @ made[..., : weights.shape[-1], :])[..., 0, :]
        c[..., self.h] -= 1
        if Pivot.ORIGIN in self.companions:
            c[..., self.h + 2 + self.companions.index(Pivot.ORIGIN)] -= c.sum(-1)
        return -0.5 * ((c[..., None, :] @ self.table)[..., 0, :] * c).sum(-1)

    def _deviations_by_column(self, points: Points, made: Tensor) -> Tensor:
        """Return what one read tells of all candidates, mixed as planned and reduced column by column."""
        h, base = self.h, self.h + 2 + len(points.extras)
        made = made[..., : self.scene.n, :base]
        mix = made if points.mix is None else points.mix[..., : self.scene.n] @ made
        centre, along = mix[..., h : h + 1] + mix[..., h + 1 : h + 2], mix[..., h + 1 : h + 2]
        if points.program is not None and compilable(self.rows, mix.shape[-2]):
            mix = torch.cat([mix[..., :h], along, mix[..., h + 2 :], centre], dim=-1)
            return deviations(points.program, self.rows, mix, h)
        mix = torch.cat([mix[..., :h] + centre / h, along, mix[..., h + 2 :]], dim=-1)
        real = Points(1, self.companions, rows=self.rows, mix=mix, columns=points.columns)
        result = torch.zeros(made.shape[:-2], dtype=made.dtype, device=self.rows.device)
        for block in self.rows.blocks():
            mean = block.values[..., :h, :].mean(-2, dtype=torch.float64)
            apart = real.seen(block).values[..., 0, :].double() - mean
            result = result + apart.square().sum(-1)
        return result

    def _aggregated(self, factor: Tensor, rule: Stage) -> Aggregation:
        forged = (self.mu + factor[..., None] * self.direction)[..., None, :]
        honest, forged = self.scene.sent(self.scene.honest), self.scene.sent(forged)
        return rule.aggregate(Stacks((honest, repeat(forged[..., 0, :], self.scene.b))), **self.scene.options)


def best_on(
    deviations: Callable[[Tensor], Tensor], factors: Float[Tensor, "k *batch"], rounds: int, few: int = 1
) -> tuple[Float[Tensor, "few *batch"], Float[Tensor, "few *batch"]]:
    """Return the few factors of largest deviation, and these; the first is the least of the best.

    The best candidate is refined between its neighbours; in all rounds but the last, so is the second best of
    those above both neighbours, by half of the round.
    """
    count = len(factors)
    factors = factors.sort(dim=0).values
    reached = deviations(factors)
    for left in reversed(range(rounds)):
        top = _first_best(reached)
        between = _between(factors, top, count)
        if left:
            other, there = _second_peak(reached, top)
            halves = [_between(factors, top, (count + 1) // 2), _between(factors, other, count // 2)]
            between = torch.where(there, torch.cat(halves), between)
        factors = torch.cat([factors, between])
        reached = torch.cat([reached, deviations(between)])
        order = factors.argsort(dim=0)
        factors, reached = factors.gather(0, order), reached.gather(0, order)
    found, promised = [], []
    for _ in range(few):
        top = _first_best(reached)
        best = factors.gather(0, top)
        found.append(best)
        promised.append(reached.gather(0, top))
        reached = torch.where(factors == best, -1.0, reached)
    return torch.cat(found), torch.cat(promised)


def _between(factors: Tensor, place: Tensor, count: int) -> Tensor:
    """Return as many factors between the neighbours of a place, evenly."""
    low = factors.gather(0, (place - 1).clamp(min=0))
    high = factors.gather(0, (place + 1).clamp(max=len(factors) - 1))
    steps = torch.linspace(0, 1, count + 2, dtype=factors.dtype, device=factors.device)[1:-1]
    return low + (high - low) * steps.reshape(-1, *[1] * (factors.ndim - 1))


def _second_peak(reached: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best place above its neighbours that is none of the best's, and whether there is one."""
    edge = torch.full_like(reached[:1], -1.0)
    before, after = torch.cat([edge, reached[:-1]]), torch.cat([reached[1:], edge])
    places = torch.arange(len(reached), device=reached.device).reshape(-1, *[1] * (reached.ndim - 1))
    peak = (reached > before) & (reached >= after) & ((places - top).abs() > 1)
    peak = peak & (reached < reached.gather(0, top) * (1 - PLATEAU))
    height = torch.where(peak, reached, -1.0)
    return height.argmax(0, keepdim=True), height.amax(0, keepdim=True) >= 0


def _first_best(reached: Tensor) -> Tensor:
    """Return the first place that reaches the most; on a plateau, rounding does not decide."""
    most = reached.amax(0, keepdim=True)
    return (reached >= most * (1 - PLATEAU)).double().argmax(0, keepdim=True)
