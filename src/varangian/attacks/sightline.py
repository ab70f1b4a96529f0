"""What a rule makes of forgeries on a line, mostly without touching a vector again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.attacks.attack import Scene, repeat
from varangian.core.inputs import read
from varangian.core.points import NeedsVectors, Pivot, Points, Reads, fold
from varangian.core.run import extra_vectors, place
from varangian.core.stages import Stage
from varangian.kernels.rows import Rows, Segment


class Sightline:
    """All liars send mu + factor * direction; what comes out, as a function of the factor.

    One read measures the honest vectors, mu and mu + direction. Every candidate is then an affine
    combination of these, and a geometric chain is planned on its folded table. Chains that end on columns,
    weights of the parties, or a loss of precision take a pass over the vectors per candidate.
    """

    def __init__(self, scene: Scene, rule: Stage, mu: Tensor, direction: Tensor) -> None:
        self.scene = scene
        self.rule = rule
        self.mu = mu
        self.direction = direction
        self.h = scene.honest.shape[-2]
        self._measure()

    def deviations(self, factors: Float[Tensor, "k *batch"]) -> Float[Tensor, "k *batch"]:
        """Return |F(honest and forged) - mu|^2 for each candidate factor."""
        try:
            return self._deviations_in_distance_space(factors)
        except NeedsVectors:
            return torch.stack([self._deviation_of(factor) for factor in factors])

    def selected(self, factors: Float[Tensor, " *batch"]) -> Bool[Tensor, " *batch"]:
        """Tell whether the forgeries keep at least half of their fair share b / n in what is selected.

        Where distances lose the forgery from sight it is too far to be selected.
        """
        try:
            mix = self._placed(factors[None])[0].mix
        except NeedsVectors:
            return torch.zeros_like(factors, dtype=torch.bool)
        assert mix is not None
        held = mix[..., self.h : self.scene.n].sum(-1).mean(-1)[0]
        return held >= 0.5 * self.scene.b / self.scene.n

    def _measure(self) -> None:
        options = self.scene.options
        wanted = {p for stage in self.rule.stages() for p in stage.pivots} - {Pivot.MEDIAN}
        vectors = read(self.scene.honest)
        extras = extra_vectors(self.rule, vectors, wanted, options.get("state"), options.get("pivot"))
        self.companions = (*extras, *({Pivot.ORIGIN} & wanted))
        ends = torch.stack([self.mu, self.mu + self.direction], dim=-2)
        rows = Rows(
            [Segment(torch.cat([self.scene.honest.double(), ends], dim=-2))],
            [[part.double() for part in parts] for parts in extras.values()],
        )
        points = Points(self.h + 2, self.companions, rows=rows)
        self.table = points.table(Reads.PAIRS, self.companions)

    def _placed(self, factors: Tensor) -> tuple[Points, Tensor]:
        """Return where the rule's stages leave each candidate, and what each point is made of."""
        if self.scene.options.get("weights") is not None:
            raise NeedsVectors
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

    def _deviations_in_distance_space(self, factors: Tensor) -> Tensor:
        points, made = self._placed(factors)
        if points.mix is None or points.program is not None:
            raise NeedsVectors
        weights = points.mix[..., 0, :]
        c = (weights[..., None, :] @ made[..., : weights.shape[-1], :])[..., 0, :]
        c[..., self.h] -= 1
        if Pivot.ORIGIN in self.companions:
            c[..., self.h + 2 + self.companions.index(Pivot.ORIGIN)] -= c.sum(-1)
        return -0.5 * ((c[..., None, :] @ self.table)[..., 0, :] * c).sum(-1)

    def _deviation_of(self, factor: Tensor) -> Tensor:
        honest = self.scene.honest
        forged = repeat(self.mu + factor[..., None] * self.direction, self.scene.b).to(honest.dtype)
        options: dict[str, Any] = dict(self.scene.options)
        result = self.rule(torch.cat([honest, forged], dim=-2), **options)
        return (result.double() - self.mu).square().sum(-1).nan_to_num(nan=0.0)


def best_on(
    deviations: Callable[[Tensor], Tensor], factors: Float[Tensor, "k *batch"], rounds: int
) -> Float[Tensor, " *batch"]:
    """Return the factor of largest deviation: the best of the candidates, refined between its neighbours."""
    count = len(factors)
    factors = factors.sort(dim=0).values
    reached = deviations(factors)
    for _ in range(rounds):
        top = reached.argmax(0, keepdim=True)
        low = factors.gather(0, (top - 1).clamp(min=0))
        high = factors.gather(0, (top + 1).clamp(max=len(factors) - 1))
        steps = torch.linspace(0, 1, count + 2, dtype=factors.dtype, device=factors.device)[1:-1]
        between = low + (high - low) * steps.reshape(-1, *[1] * (factors.ndim - 1))
        factors = torch.cat([factors, between])
        reached = torch.cat([reached, deviations(between)])
        order = factors.argsort(dim=0)
        factors, reached = factors.gather(0, order), reached.gather(0, order)
    return factors.gather(0, reached.argmax(0, keepdim=True))[0]
