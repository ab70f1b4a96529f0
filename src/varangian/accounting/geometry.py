"""All that distances tell of one step: between the vectors, what was made of them, and the origin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from varangian.core.inputs import read
from varangian.core.needs import Pivot, Reads
from varangian.core.points import Points
from varangian.core.selection import lowest
from varangian.errors import ShapeError

CANCELLED = 1e-6
"""A difference of squared distances below this share of them is rounding: by float32."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Squared distances between n vectors, then their aggregate, then the origin: ``(n + 2, n + 2)``.

    ``nonfinite`` counts what is not finite in each vector, and was read as zero; an aggregate that is not
    finite is infinitely far. ``d`` counts coordinates. Geometries of different coordinates of the same
    vectors add up.

    >>> geometry = Geometry.of(torch.tensor([[3.0, 0.0], [3.0, 8.0]]), torch.tensor([3.0, 4.0]))
    >>> geometry.norms.tolist(), geometry.influence(2).tolist()
    ([3.0, 8.54400374531753], [1.0, 1.0])
    """

    table: Float[Tensor, "k k"]
    nonfinite: Int64[Tensor, " n"]
    d: int

    @classmethod
    def of(cls, vectors: Any, aggregate: Any) -> Geometry:
        """Measure what a rule took, and what it gave.

        Cost        one read of the vectors and the aggregate
        Raises      ShapeError, InputError
        """
        held = read(vectors)
        parts = held.flatten_one(aggregate)
        rows = held.rows([[part.nan_to_num(0.0, 0.0, 0.0) for part in parts]], sanitise=True)
        if rows.batch:
            raise ShapeError(
                f"{len(rows.batch) + 2} axes arrived; one step has n vectors (n, d). Account for each apart."
            )
        beside = (Pivot.GIVEN, Pivot.ORIGIN)
        table = Points(rows.n, beside, rows=rows).table(Reads.PAIRS, beside)
        if not all(bool(part.isfinite().all()) for part in parts):
            table = table.clone()
            table[rows.n, :] = table[:, rows.n] = torch.inf
        return cls(table, rows.nonfinite.cpu(), rows.d)

    def __add__(self, other: Geometry) -> Geometry:
        return Geometry(self.table + other.table, self.nonfinite + other.nonfinite, self.d + other.d)

    def summed(self, over: Callable[[Tensor], Tensor]) -> Geometry:
        """Return the sum over all who hold further coordinates; ``over`` sums a float64 tensor."""
        own = torch.cat([self.table.flatten(), self.nonfinite.double(), torch.tensor([float(self.d)])])
        whole = over(own)
        k = len(self.table)
        return Geometry(whole[: k * k].view(k, k), whole[k * k : -1].round().long(), round(float(whole[-1])))

    @property
    def n(self) -> int:
        """Return the number of vectors."""
        return len(self.nonfinite)

    @cached_property
    def between(self) -> Float[Tensor, "n n"]:
        """Return the squared distances between the vectors."""
        return self.table[: self.n, : self.n]

    @cached_property
    def to_aggregate(self) -> Float[Tensor, " n"]:
        """Return the squared distances to the aggregate."""
        return self.table[: self.n, self.n]

    @cached_property
    def norms(self) -> Float[Tensor, " n"]:
        """Return the lengths of the vectors."""
        return self.table[: self.n, -1].sqrt()

    @cached_property
    def length(self) -> float:
        """Return the length of the aggregate."""
        return float(self.table[self.n, -1].sqrt())

    @cached_property
    def cosines(self) -> Float[Tensor, " n"]:
        """Return the cosine of each vector and the aggregate; NaN where one is zero."""
        inner = (self.norms.square() + self.length**2 - self.to_aggregate) / 2
        return (inner / (self.norms * self.length)).clamp(-1, 1)

    def core(self, size: int) -> Bool[Tensor, " n"]:
        """Mark the ``size`` vectors that lie closest together: one, and the nearest to it.

        Of n vectors with at least ``size`` honest ones, liars in the core lie in sum no farther from that one
        than honest vectors do from each other.
        """
        reach = self.between.sort(dim=-1).values[:, :size].sum(-1)
        return lowest(self.between[int(reach.argmin())], size)

    def influence(self, size: int) -> Float[Tensor, " n"]:
        """Return how far towards each vector the aggregate lies, in standard deviations of the core.

        Counted from the mean of the core, the vector left out. It is by how much a mean moves if the vector
        is replaced by that mean; where a rule ignores the vector, it is about 0. It is 0 where the vector is
        too far away for any digit to tell, NaN where there is no way to go, or where the core has no spread.
        """
        others = self.core(size).double().expand(self.n, -1) * (1 - torch.eye(self.n, dtype=torch.float64))
        share = others / others.sum(-1, keepdim=True)
        spread = 0.5 * ((share @ self.between) * share).sum(-1)
        moved = (share @ self.to_aggregate - spread).clamp(min=0)
        way = (share * self.between).sum(-1) - spread
        twice = moved + way - self.to_aggregate
        along = torch.where(twice.abs() > CANCELLED * way, twice / 2 / way.sqrt(), 0.0)
        bounded = along.clamp(-moved.sqrt(), moved.sqrt())  # no part of a move is longer than the move
        return torch.where(way > 0, bounded / self.variance(size) ** 0.5, torch.nan)

    def variance(self, size: int) -> float:
        """Return the mean squared distance of the core from its mean."""
        share = self.core(size).double() / size
        return float(0.5 * (share @ self.between @ share))

    def variance_to_norm(self, size: int) -> float:
        """Return the standard deviation of the core over the length of its mean; infinite if that is zero."""
        if size < 2:
            return 0.0
        spread = self.variance(size)
        square = float(self.norms[self.core(size)].square().mean()) - spread
        return float((spread * size / (size - 1) / square) ** 0.5) if square > 0 else float("inf")
