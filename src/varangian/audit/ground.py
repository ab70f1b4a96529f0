"""Where candidates for an attack are judged: one round, one rule, and who of all is honest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.audit.measured import Measured
from varangian.core.blocks import InBlocks
from varangian.core.needs import NeedsVectors, Pivot, Reads
from varangian.core.parties import Parties
from varangian.core.points import Points
from varangian.core.randomness import Stream
from varangian.core.run import Call, aggregate_blocks
from varangian.core.stages import Stage
from varangian.core.tables import Table
from varangian.kernels.combine import compilable
from varangian.kernels.deviations import deviations
from varangian.kernels.lanes import lanes_instead_of_threads
from varangian.kernels.rows import Rows, Segment

TOGETHER = 2**18
"""Numbers in the columns, or in the tables, of the candidates that are judged at once: what a cache holds."""
SMALL = 2**16
"""Numbers of one candidate up to which many at once are faster than compiled code for each."""
CANCELLED = 1e-6
"""Share of the terms of a squared distance below which too few digits are left."""


@dataclass(frozen=True, eq=False)
class Ground:
    """A round as the server sees it: ``honest`` of its vectors, and ``b`` liars in the other places.

    If the round recorded all n clients, liars take the places of those who are not honest; if it recorded
    the honest alone, they come last. ``parties`` are the weights, a share for each of the n places. Liars
    who send u different vectors take turns.
    """

    seen: Measured
    rule: Stage
    honest: tuple[int, ...]
    b: int
    parties: Parties | None = None
    stream: Stream = field(default_factory=Stream)

    @property
    def n(self) -> int:
        """Return how many vectors the server receives."""
        return len(self.honest) + self.b

    @cached_property
    def places(self) -> list[int]:
        """Return who is in each of the n places: an honest vector, or h and so on for the liars."""
        h = len(self.honest)
        liars = iter(range(h, self.n))
        if self.seen.m != self.n:
            return list(range(self.n))
        return [self.honest.index(i) if i in self.honest else next(liars) for i in range(self.n)]

    @cached_property
    def centre(self) -> Float[Tensor, " k"]:
        """Return what of each base point is in the honest mean."""
        made = self.seen.table.new_zeros(self.seen.k)
        at = [self.places.index(i) for i in range(len(self.honest))]
        made[list(self.honest)] = 1.0 if self.parties is None else self.parties.shares[at]
        return made / made.sum()

    @cached_property
    def variance(self) -> float:
        """Return the mean squared distance of the honest vectors from their mean."""
        return float(0.5 * self.centre @ self.seen.table @ self.centre)

    @property
    def rows(self) -> Float[Tensor, "h k"]:
        """Return what of each base point is in each honest vector; of many clients, too large to be kept."""
        return torch.eye(self.seen.k, dtype=torch.float64)[list(self.honest)]

    @lanes_instead_of_threads()
    def ratios(self, forged: Float[Tensor, "c u k"]) -> Float[Tensor, " c"]:
        """Return, for each candidate, |F - honest mean|^2 over the honest variance.

        A candidate's vectors are affine combinations of base points. One whose distances cannot be told
        from the table with enough digits counts as 0. Rules that decide by columns are judged on the sketch.
        """
        if not len(forged):
            return forged.new_zeros(0)
        return torch.cat([self._ratios(few) for few in forged.split(max(1, TOGETHER // self.seen.k**2))])

    def _ratios(self, forged: Float[Tensor, "c u k"]) -> Float[Tensor, " c"]:
        """Return them for so few candidates that their tables take little room."""
        table, exact = self._tables(forged)
        moved = self._moved(self._made(forged), table)
        return torch.where(exact, moved / max(self.variance, 1e-300), 0.0)

    def exactly(self, forged: Float[Tensor, "u k"]) -> float:
        """Return the same of one candidate, all vectors made and aggregated for real, block by block."""
        trusting = Pivot.GIVEN in self._pivots
        rows = self._made(forged[None])[0, : self.n, :-1]
        if trusting:
            rows = torch.cat([rows, self.centre[None, :-1]])
        seats = [self.places.index(i) for i in range(len(self.honest))]
        shares, moved = self.centre[list(self.honest)], []

        def sent() -> Iterator[Tensor]:
            return (_mixed(rows, block) for block in self.seen.blocks())

        def compare(block: Tensor, value: Tensor) -> None:
            gap = value.double() - shares @ block[seats].double()
            moved.append(float(gap @ gap))

        blocks = InBlocks(sent, (self.n, self.seen.round.d), pivot=trusting)
        aggregate_blocks(self.rule, blocks, compare, **self._options())
        return sum(moved) / max(self.variance, 1e-300)

    @cached_property
    def _pivots(self) -> set[Pivot]:
        return {pivot for stage in self.rule.stages() for pivot in stage.pivots}

    @cached_property
    def _companions(self) -> dict[Pivot, Tensor]:
        """Return the pivots in a table: trusted is the honest mean, and nothing was carried over yet."""
        origin = torch.zeros(self.seen.k, dtype=torch.float64)
        origin[-1] = 1.0
        known = {Pivot.CARRIED: origin, Pivot.GIVEN: self.centre, Pivot.ORIGIN: origin}
        return {pivot: made for pivot, made in known.items() if pivot in self._pivots}

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"stream": self.stream}
        if self.parties is not None:
            options |= {"weights": self.parties.shares, "mass": self.parties.mass}
        return options

    def _made(self, forged: Tensor) -> Tensor:
        """Return what of each base point is in what the server receives, and then in each companion."""
        c, u, k = forged.shape
        turns = forged[:, torch.arange(self.b) % u] if self.b else forged[:, :0]
        whole = torch.cat([self.rows.expand(c, -1, k), turns], dim=1)[:, self.places]
        return torch.cat([whole, *(made.expand(c, 1, k) for made in self._companions.values())], dim=1)

    def _tables(self, forged: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distances between all that is made, and which candidates' have their digits."""
        base, (c, u, _) = self.seen.table, forged.shape
        fixed = torch.cat([self.rows, *(made[None] for made in self._companions.values())])
        size, h = len(fixed) + u, len(self.honest)
        table, terms = base.new_zeros(c, size, size), base.new_zeros(c, size, size)
        there, still = slice(len(fixed)), slice(len(fixed), None)
        for one, other, where in (
            (fixed, fixed, (there, there)),
            (forged, fixed, (still, there)),
            (forged, forged, (still, still)),
        ):
            across = one @ base @ other.mT
            own = (_own(base, one)[..., :, None], _own(base, other)[..., None, :])
            table[:, where[0], where[1]] = across - own[0] - own[1]
            terms[:, where[0], where[1]] = across.abs() + own[0].abs() + own[1].abs()
        table[:, there, still] = table[:, still, there].mT
        exact = ((table >= CANCELLED * terms) | (table.abs() <= 1e-15 * terms)).flatten(1).all(-1)
        table = table.clamp(min=0.0)
        table.diagonal(dim1=-2, dim2=-1).zero_()
        liars = [len(fixed) + j % u for j in range(self.b)]
        order = [place if place < h else liars[place - h] for place in self.places]
        order += range(h, len(fixed))
        return table[:, order][..., order], exact

    def _moved(self, made: Tensor, table: Tensor) -> Tensor:
        companions = tuple(self._companions)
        points = Points(self.n, companions, table=Table(table), known=Reads.PAIRS)
        try:
            points = self.rule.advance(points, Call(self.parties, self.stream))
        except NeedsVectors:
            if len(made) > 1:
                half = len(made) // 2
                parts = [self._moved(made[part], table[part]) for part in (slice(half), slice(half, None))]
                return torch.cat(parts)
            return self._on_sketch(made)
        if points.columns is not None:
            return self._by_columns(points, made)
        assert points.mix is not None
        mix = points.mix[..., 0, :]
        v = (mix[..., None, :] @ made[:, : mix.shape[-1]])[..., 0, :] - self.centre
        v[..., -1] -= v.sum(-1)
        return (-0.5 * ((v @ self.seen.table) * v).sum(-1)).clamp(min=0.0) + 0.0

    def _by_columns(self, points: Points, made: Tensor) -> Tensor:
        """Return what the sketch tells of points that are reduced column by column."""
        whole = made[:, : self.n, :-1]
        mix = whole if points.mix is None else points.mix[..., : self.n] @ whole
        mix, sketch = mix.expand(len(made), -1, -1), self.seen.sketch
        order = [*self.honest, *(i for i in range(len(sketch)) if i not in self.honest)]
        rows = Rows([Segment(sketch[order])])  # the honest first, from whose mean it is told
        size = mix.shape[-2] * rows.d
        wide = size > SMALL and self.parties is None and compilable(rows, mix.shape[-2])
        if points.program is not None and wide:
            mean = mix.new_zeros(*mix.shape[:-1], 1)
            shares = torch.cat([mix[..., order], mean], dim=-1)
            found = deviations(points.program, rows, shares, len(self.honest))
        else:
            assert points.columns is not None
            target = self.centre[:-1] @ sketch
            parts = [
                (points.columns(part @ sketch, slice(None)).double() - target).square().sum(-1)
                for part in mix.split(max(1, TOGETHER // size))
            ]
            found = torch.cat(parts)
        return found * self.seen.stretch

    def _on_sketch(self, made: Tensor) -> Tensor:
        """Return what the rule makes of the sketch of one candidate, vectors and all."""
        sent = made[0, : self.n, :-1] @ self.seen.sketch
        target = self.centre[:-1] @ self.seen.sketch
        trusted = target if Pivot.GIVEN in self._pivots else None
        value: Tensor = self.rule.aggregate(sent, pivot=trusted, **self._options()).value
        return (value - target).square().sum(-1)[None].nan_to_num(nan=0.0) * self.seen.stretch


def _mixed(rows: Tensor, block: Tensor) -> Tensor:
    return (rows @ block.double()).to(block.dtype)


def _own(base: Tensor, made: Tensor) -> Tensor:
    return 0.5 * ((made @ base) * made).sum(-1)
