"""The vectors as a chain sees them: a table of squared distances, and a mixing matrix over the rows.

A stage plans on the table and never touches a coordinate. After a mixer the table is *folded*; where
folding would lose the decision, the mixed vectors are measured again. Tables over subsets of the
coordinates that a later stage asks for are measured beside the first of all pairs, and folded likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from varangian.core.measures import tables, unknown
from varangian.core.needs import Foreseen, NeedsVectors, Pivot, Reads
from varangian.core.tables import COARSE, FINE, Table
from varangian.kernels.measuring import coarse
from varangian.kernels.orders import each_on
from varangian.kernels.products import product
from varangian.kernels.programs import Program
from varangian.kernels.rows import BLOCK_ELEMENTS, WIDE_ELEMENTS, Block, Rows

Made = TypeVar("Made")

Columns = Callable[[Tensor, slice], Tensor]
"""What reduces columns: ``(*batch, m, c)``, and which columns of the whole these are, to ``(*batch, c)``."""


class Points:
    """m vectors, each a combination of the rows that arrived, and what is known of their distances.

    Without ``rows`` the points live in distance space only. ``companions`` are the pivots that the table
    carries, in the order of its last rows and columns; those that are vectors of their own (the extras)
    also stand below the rows. ``mix`` is None as long as the points are the rows themselves. ``foreseen`` is
    what stages will ask for. ``columns`` reduces the points to one, and ``program`` says the same except in
    the columns ``firsts``, whose number is the first point's.
    """

    def __init__(
        self,
        m: int,
        companions: Sequence[Pivot] = (),
        *,
        rows: Rows | None = None,
        mix: Float[Tensor, "*batch m n"] | None = None,
        table: Table | None = None,
        known: Reads = Reads.NOTHING,
        foreseen: Foreseen = Foreseen(),  # noqa: B008 (never changed)
        on_subsets: Table | None = None,
        columns: Columns | None = None,
        program: Program | None = None,
        firsts: Int64[Tensor, " k"] | None = None,
    ) -> None:
        self.m = m
        self.companions = tuple(companions)
        self.rows = rows
        self.mix = mix
        self.known = known
        self.foreseen = foreseen
        self.columns = columns
        self.program = program
        self.firsts = firsts
        self._table = table
        self._on_subsets = on_subsets

    @property
    def extras(self) -> tuple[Pivot, ...]:
        """Return the companions that are vectors of their own."""
        return tuple(pivot for pivot in self.companions if pivot in (Pivot.CARRIED, Pivot.GIVEN))

    def table(self, level: Reads, pivots: Sequence[Pivot] = ()) -> Float[Tensor, "*batch k k"]:
        """Return the squared distances between the points, then the ``pivots`` asked for, in order.

        Entries above ``level`` may be NaN. Reads the rows only if what is known does not suffice.
        """
        if Pivot.MEDIAN in pivots:
            return tables(self, [None], pivots, level)[..., 0, :, :]
        if level is Reads.NOTHING:
            return unknown(self, len(pivots))
        if self._table is None or level > self.known or not self._table.trusted:
            self._table = self._measured(max(level, self.foreseen.level))
        if tuple(pivots) == self.companions:
            return self._table.values.clone()
        chosen = [*range(self.m), *(self.m + self.companions.index(pivot) for pivot in pivots)]
        return self._table.values[..., chosen, :][..., chosen]

    def tables_on_subsets(self) -> Float[Tensor, "*batch s m m"]:
        """Return the squared distances over each of the subsets; reads the rows only if it must."""
        if self.foreseen.subsets is None:
            raise NeedsVectors
        table = self._on_subsets
        if table is None or not table.trusted:
            fresh = tables(self, self.foreseen.subsets, self.companions, Reads.PAIRS)
            table = Table(fresh) if table is None else table.renewed(fresh, table.inexact)
            self._on_subsets = table
        return table.values[..., : self.m, : self.m]

    def mixed(self, weights: Float[Tensor, "*batch p m"]) -> Points:
        """Return the points that are the given combinations (each summing to one) of these."""
        mix = weights if self.mix is None else product(weights, self.mix)
        return self._folded(weights, mix) if self.known is Reads.PAIRS else self._successor(mix)

    def scaled(self, factors: Float[Tensor, "*batch m"], *, folds: bool = True) -> Points:
        """Return the points multiplied each by its factor; the missing share is the origin's.

        Unless what is known of them ``folds``, they are measured again.
        """
        mix = torch.diag_embed(factors) if self.mix is None else factors[..., None] * self.mix
        if not folds or self._table is None or Pivot.ORIGIN not in self.companions:
            return self._successor(mix)
        origin = self.m + self.companions.index(Pivot.ORIGIN)
        whole = torch.cat([factors, factors.new_ones(*factors.shape[:-1], len(self.companions))], dim=-1)
        on_subsets = self._on_subsets and self._on_subsets.scaled(whole[..., None, :], origin)
        return self._successor(mix, self._table.scaled(whole, origin), self.known, on_subsets)

    def drawn(self, centre: Int[Tensor, "*batch"], factors: Float[Tensor, "*batch m"]) -> Points:
        """Return the points drawn to one of them: c + factor (x - c)."""
        towards = torch.nn.functional.one_hot(centre, self.m).double()
        weights = torch.diag_embed(factors) + (1 - factors)[..., None] * towards[..., None, :]
        return self.mixed(weights)

    def combined(self, weights: Float[Tensor, "*batch k"], pivots: Sequence[Pivot]) -> Points:
        """Return the one point that weighs these points, and the extras among the pivots after them."""
        own = weights[..., None, : self.m]
        mix = own if self.mix is None else product(own, self.mix)
        count = len(self.extras)
        if count and mix.shape[-1] == self.n:
            mix = torch.cat([mix, mix.new_zeros(*mix.shape[:-1], count)], dim=-1)
        if weights.shape[-1] > self.m:
            for place, pivot in enumerate(pivots):
                if pivot in self.extras:
                    column = self.n + self.extras.index(pivot)
                    mix[..., 0, column] = mix[..., 0, column] + weights[..., self.m + place]
        return self._successor(mix)

    def reduced(
        self, columns: Columns, program: Program | None = None, firsts: Int64[Tensor, " k"] | None = None
    ) -> Points:
        """Return the one point whose every column is a function of the column of these points.

        ``program``, if there is one, says the same in a way that can be compiled, except in the columns
        ``firsts``, in ascending order: there the first point's number is taken.
        """
        return Points(
            1,
            self.companions,
            rows=self.rows,
            mix=self.mix,
            columns=columns,
            program=program,
            firsts=firsts,
        )

    def on(self, rows: Rows) -> Points:
        """Return the same points of other rows, whose distances are not known."""
        if rows is self.rows:
            return self
        return Points(
            self.m,
            self.companions,
            rows=rows,
            mix=self.mix,
            foreseen=self.foreseen,
            columns=self.columns,
            program=self.program,
            firsts=self.firsts,
        )

    def over_blocks(self, function: Callable[[Block], Made]) -> list[Made]:
        """Read the points once, combined as they are loaded (then in float64), the extras last.

        Return what the function makes of each block, in order.
        """
        if self.rows is None:
            raise NeedsVectors
        narrow = self.columns is None or self.mix is not None
        blocks = self.rows.blocks(BLOCK_ELEMENTS if narrow else WIDE_ELEMENTS)
        return each_on(self.rows.device, lambda block: function(self.seen(block)), blocks)

    def seen(self, block: Block) -> Block:
        """Return what a block of the rows is of these points."""
        values = block.values
        if self.mix is not None:
            base = values.to(torch.float64, memory_format=torch.contiguous_format)
            values = _weighed(self.mix.to(base.device), base[..., : self.mix.shape[-1], :])
            if self.extras:
                below = base[..., self.n :, :].expand(*values.shape[:-2], -1, -1)
                values = torch.cat([values, below], dim=-2)
        if self.columns is not None:
            count = values.shape[-2] - len(self.extras)
            place = slice(block.offset, block.end)
            values = self.columns(values[..., :count, :], place)[..., None, :]
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

    @property
    def batch(self) -> tuple[int, ...]:
        """Return the batch of the points."""
        if self.rows is not None:
            return self.rows.batch
        assert self._table is not None
        return tuple(self._table.values.shape[:-2])

    def _successor(
        self,
        mix: Tensor,
        table: Table | None = None,
        known: Reads = Reads.NOTHING,
        on_subsets: Table | None = None,
    ) -> Points:
        return Points(
            mix.shape[-2],
            self.companions,
            rows=self.rows,
            mix=mix,
            table=table,
            known=known,
            foreseen=self.foreseen,
            on_subsets=on_subsets,
        )

    def _folded(self, weights: Tensor, mix: Tensor) -> Points:
        """Fold the tables; a share that a row of weights lacks is the origin's."""
        assert self._table is not None
        p, m = weights.shape[-2:]
        batch = np.broadcast_shapes(self._table.values.shape[:-2], weights.shape[:-2])
        companions = len(self.companions)
        whole = weights.new_zeros(*batch, p + companions, m + companions)
        whole[..., :p, :m] = weights
        whole[..., p:, m:] = torch.eye(companions, dtype=weights.dtype, device=weights.device)
        if Pivot.ORIGIN in self.companions:
            whole[..., :p, m + self.companions.index(Pivot.ORIGIN)] = 1 - weights.sum(-1)
        on_subsets = self._on_subsets and self._on_subsets.folded(whole[..., None, :, :])
        return self._successor(mix, self._table.folded(whole), Reads.PAIRS, on_subsets)

    def _measured(self, level: Reads) -> Table:
        """Return the table as one read makes it; those on the subsets are measured beside all pairs."""
        subsets = self.foreseen.subsets
        beside = subsets if level is Reads.PAIRS and subsets is not None else ()
        every = tables(self, [None, *beside], self.companions, level)
        fresh, on_subsets = every[..., 0, :, :], every[..., 1:, :, :]
        old, known, self.known = self._table, self.known, level
        if old is None or known < level:
            assert self.rows is not None
            cancellation = COARSE if coarse(self.rows) else FINE
            self._on_subsets = Table(on_subsets, None, cancellation) if len(beside) else None
            return Table(fresh, None, cancellation)
        if len(beside) and self._on_subsets is not None:
            self._on_subsets = self._on_subsets.renewed(on_subsets, old.inexact[..., None])
        return old.renewed(fresh, old.inexact)


def _weighed(mix: Float[Tensor, "*#batch p n"], base: Float[Tensor, "*#batch n c"]) -> Tensor:
    """Return weighted sums, in which what is not finite is nothing where its weight is zero."""
    made = product(mix, base)
    if not made.sum().isfinite():
        lost = ~made.isfinite()
        columns = lost.flatten(0, -2).any(0).nonzero()[:, 0]
        few, weights = base[..., columns], mix[..., None]
        again = [torch.where(w != 0, w * few, 0.0).sum(-2) for w in weights.unbind(-3)]
        made[..., columns] = torch.where(lost[..., columns], torch.stack(again, dim=-2), made[..., columns])
    return made
