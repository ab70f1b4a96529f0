"""The vectors as a chain sees them: a table of squared distances, and a mixing matrix over the rows.

A stage plans on the table and never touches a coordinate. After a mixer the table is *folded*: for
weights c that sum to zero, |sum c_k x_k|^2 = -1/2 c'Dc. Where folding would lose the decision (a row's
weight is tiny and its distance huge, so that large terms cancel), the mixed vectors are measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum, IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from varangian.kernels.columns import middle, sort_columns
from varangian.kernels.distances import pairwise, to_each, total
from varangian.kernels.rows import Block, Rows

CANCELLATION = 1e-4
"""A folded squared distance below this share of its largest terms is measured again."""


Program = Callable[[Tensor, slice], Tensor]
"""A column program: ``(*batch, m, c)``, and which columns of the whole these are, to ``(*batch, c)``."""


class Reads(IntEnum):
    """What a stage must know before it can plan; each level includes the ones below."""

    NOTHING = 0
    NORMS = 1
    PIVOTS = 2
    PAIRS = 3


class Pivot(Enum):
    """A further vector that a stage measures against, appended to the table after the rows."""

    CARRIED = "the output carried over from the last call"
    GIVEN = "the trusted vector given with the call"
    ORIGIN = "the zero vector"
    MEDIAN = "the coordinate-wise median of the vectors"


class NeedsVectors(Exception):  # noqa: N818 (no error, a change of plan)
    """A plan in distance space alone would lose precision, or needs the coordinates."""


class Points:
    """m vectors, each a combination of the rows that arrived, and what is known of their distances.

    Without ``rows`` the points live in distance space only. ``companions`` are the pivots that the table
    carries, in the order of its last rows and columns; those that are vectors of their own (the extras)
    also stand below the rows. ``mix`` is None as long as the points are the rows themselves.
    """

    def __init__(
        self,
        m: int,
        companions: Sequence[Pivot] = (),
        *,
        rows: Rows | None = None,
        mix: Float[Tensor, "*batch m n"] | None = None,
        table: Float[Tensor, "*batch k k"] | None = None,
        known: Reads = Reads.NOTHING,
        trusted: Bool[Tensor, "*batch"] | None = None,
        program: Program | None = None,
    ) -> None:
        self.m = m
        self.companions = tuple(companions)
        self.rows = rows
        self.mix = mix
        self.known = known
        self.program = program
        self._table = table
        self._trusted = trusted

    @property
    def extras(self) -> tuple[Pivot, ...]:
        """Return the companions that are vectors of their own."""
        return tuple(pivot for pivot in self.companions if pivot in (Pivot.CARRIED, Pivot.GIVEN))

    def table(self, level: Reads, pivots: Sequence[Pivot] = ()) -> Float[Tensor, "*batch k k"]:
        """Return the squared distances between the points, then the ``pivots`` asked for, in order.

        Entries above ``level`` may be NaN. Reads the rows only if what is known does not suffice.
        """
        if Pivot.MEDIAN in pivots:
            return self._measured(pivots, level)
        if level is Reads.NOTHING:
            return self._unknown(len(pivots))
        if level > self.known or self._untrusted():
            self._measure(level)
        assert self._table is not None
        chosen = [*range(self.m), *(self.m + self.companions.index(pivot) for pivot in pivots)]
        return self._table[..., chosen, :][..., chosen]

    def tables_on(self, subsets: Bool[Tensor, "s d"]) -> Float[Tensor, "*batch s m m"]:
        """Return the squared distances over each of several subsets of the coordinates; one read."""
        parts = (
            torch.stack(
                [
                    pairwise(block.values[..., : self.m, :][..., subset[block.offset : block.end]])
                    for subset in subsets
                ],
                dim=-3,
            )
            for block in self.blocks()
        )
        start = torch.zeros_like(self._unknown(0))[..., None, :, :].repeat_interleave(len(subsets), dim=-3)
        return total(start, parts)

    def mixed(self, weights: Float[Tensor, "*batch p m"]) -> Points:
        """Return the points that are the given combinations (each summing to one) of these."""
        mix = weights if self.mix is None else weights @ self.mix
        return self._folded(weights, mix) if self.known is Reads.PAIRS else self._successor(mix)

    def scaled(self, factors: Float[Tensor, "*batch m"]) -> Points:
        """Return the points multiplied each by its factor; the missing share is the origin's."""
        mix = torch.diag_embed(factors) if self.mix is None else factors[..., None] * self.mix
        if self.known is Reads.NOTHING or Pivot.ORIGIN not in self.companions:
            return self._successor(mix)
        if self.known is Reads.PAIRS:
            return self._folded(torch.diag_embed(factors), mix)
        assert self._table is not None
        table = torch.full_like(self._table, torch.nan)
        origin = self.m + self.companions.index(Pivot.ORIGIN)
        table[..., : self.m, origin] = factors.square() * self._table[..., : self.m, origin]
        table[..., origin, : self.m] = table[..., : self.m, origin]
        return self._successor(mix, table, Reads.NORMS, self._trusted)

    def drawn(self, centre: Int[Tensor, "*batch"], factors: Float[Tensor, "*batch m"]) -> Points:
        """Return the points drawn to one of them: c + factor (x - c)."""
        towards = torch.nn.functional.one_hot(centre, self.m).double()
        weights = torch.diag_embed(factors) + (1 - factors)[..., None] * towards[..., None, :]
        return self.mixed(weights)

    def combined(self, weights: Float[Tensor, "*batch k"], pivots: Sequence[Pivot]) -> Points:
        """Return the one point that weighs these points, and the extras among the pivots after them."""
        own = weights[..., None, : self.m]
        mix = own if self.mix is None else own @ self.mix
        count = len(self.extras)
        if count and mix.shape[-1] == self.n:
            mix = torch.cat([mix, mix.new_zeros(*mix.shape[:-1], count)], dim=-1)
        if weights.shape[-1] > self.m:
            for place, pivot in enumerate(pivots):
                if pivot in self.extras:
                    column = self.n + self.extras.index(pivot)
                    mix[..., 0, column] = mix[..., 0, column] + weights[..., self.m + place]
        return self._successor(mix)

    def reduced(self, program: Program) -> Points:
        """Return the one point whose every column is a function of the column of these points."""
        return Points(1, self.companions, rows=self.rows, mix=self.mix, program=program)

    def blocks(self) -> Iterator[Block]:
        """Read the points once, combined as they are loaded (then in float64), the extras last."""
        if self.rows is None:
            raise NeedsVectors
        yield from map(self.seen, self.rows.blocks())

    def seen(self, block: Block) -> Block:
        """Return what a block of the rows is of these points."""
        values = block.values
        if self.mix is not None:
            base = values.double()
            values = self.mix @ base[..., : self.mix.shape[-1], :]
            if self.extras:
                below = base[..., self.n :, :].expand(*values.shape[:-2], -1, -1)
                values = torch.cat([values, below], dim=-2)
        if self.program is not None:
            count = values.shape[-2] - len(self.extras)
            place = slice(block.offset, block.end)
            values = self.program(values[..., :count, :], place)[..., None, :]
        return replace(block, values=values)

    @property
    def n(self) -> int:
        """Return how many rows the points are made of."""
        if self.rows is not None:
            return self.rows.n
        return self.m if self.mix is None else self.mix.shape[-1]

    @property
    def d(self) -> int:
        """Return the number of coordinates; in distance space there are none."""
        if self.rows is None:
            raise NeedsVectors
        return self.rows.d

    def _successor(
        self,
        mix: Tensor,
        table: Tensor | None = None,
        known: Reads = Reads.NOTHING,
        trusted: Tensor | None = None,
    ) -> Points:
        m = mix.shape[-2]
        return Points(m, self.companions, rows=self.rows, mix=mix, table=table, known=known, trusted=trusted)

    def _folded(self, weights: Tensor, mix: Tensor) -> Points:
        """Fold the table; a share that a row of weights lacks is the origin's."""
        assert self._table is not None
        p, m = weights.shape[-2:]
        batch = torch.broadcast_shapes(self._table.shape[:-2], weights.shape[:-2])
        companions = len(self.companions)
        whole = weights.new_zeros(*batch, p + companions, m + companions)
        whole[..., :p, :m] = weights
        whole[..., p:, m:] = torch.eye(companions, dtype=weights.dtype, device=weights.device)
        if Pivot.ORIGIN in self.companions:
            whole[..., :p, m + self.companions.index(Pivot.ORIGIN)] = 1 - weights.sum(-1)
        table, exact = fold(self._table, whole)
        trusted = exact if self._trusted is None else exact & self._trusted
        return self._successor(mix, table, Reads.PAIRS, trusted)

    def _untrusted(self) -> bool:
        return self._trusted is not None and not bool(self._trusted.all())

    def _measure(self, level: Reads) -> None:
        fresh = self._measured(self.companions, level)
        if self._trusted is not None and self._table is not None and self.known >= level:
            fresh = torch.where(self._trusted[..., None, None], self._table, fresh)
        self._table, self._trusted, self.known = fresh, None, level

    def _measured(self, pivots: Sequence[Pivot], level: Reads) -> Tensor:
        if self.rows is None:
            raise NeedsVectors
        start = torch.zeros_like(self._unknown(len(pivots)))
        return total(start, (self._block_table(block.values, pivots, level) for block in self.blocks()))

    def _block_table(self, values: Tensor, pivots: Sequence[Pivot], level: Reads) -> Tensor:
        points = values[..., : self.m, :].double()
        targets = [_pivot_row(pivot, points, values[..., self.m :, :], self.extras) for pivot in pivots]
        if level is Reads.PAIRS:
            return pairwise(torch.cat([points, *targets], dim=-2))
        table = self._unknown(len(pivots))
        if targets:
            aim = torch.cat(targets, dim=-2)
            table[..., : self.m, self.m :] = to_each(points, aim)
            table[..., self.m :, : self.m] = table[..., : self.m, self.m :].mT
            table[..., self.m :, self.m :] = pairwise(aim)
        return table

    def _unknown(self, pivots: int) -> Tensor:
        if self.rows is not None:
            batch, device = self.rows.batch, self.rows.device
        else:
            assert self._table is not None
            batch, device = tuple(self._table.shape[:-2]), self._table.device
        size = self.m + pivots
        return torch.full((*batch, size, size), torch.nan, dtype=torch.float64, device=device)


def _pivot_row(pivot: Pivot, points: Tensor, extra_rows: Tensor, extras: Sequence[Pivot]) -> Tensor:
    if pivot is Pivot.ORIGIN:
        return torch.zeros_like(points[..., :1, :])
    if pivot is Pivot.MEDIAN:
        return middle(sort_columns(points))[..., None, :]
    place = extras.index(pivot)
    return extra_rows[..., place : place + 1, :].double()


def fold(
    table: Float[Tensor, "*#batch k k"], weights: Float[Tensor, "*#batch q k"]
) -> tuple[Float[Tensor, "*#batch q q"], Bool[Tensor, "*#batch"]]:
    """Return the distances between combinations of points, and whether cancellation left them exact.

    Each row of weights sums to one.
    """
    batch = torch.broadcast_shapes(table.shape[:-2], weights.shape[:-2])
    size = weights.shape[-2]
    folded = weights.new_zeros(*batch, size, size)
    exact = torch.ones(batch, dtype=torch.bool, device=weights.device)
    for i in range(size - 1):
        c = weights[..., i : i + 1, :] - weights[..., i + 1 :, :]
        value = -0.5 * ((c @ table) * c).sum(-1)
        terms = 0.5 * ((c.abs() @ table) * c.abs()).sum(-1)
        exact = exact & (value >= CANCELLATION * terms).all(-1)
        folded[..., i, i + 1 :] = value.clamp(min=0.0)
        folded[..., i + 1 :, i] = folded[..., i, i + 1 :]
    return folded, exact
