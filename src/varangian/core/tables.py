"""Tables of squared distances, folded through a mixer without another look at the vectors.

For weights c that sum to zero, |sum c_k x_k|^2 = -1/2 c'Dc; for two scaled points that is
|s x - t y|^2 = st |x - y|^2 + (s - t)(s |x|^2 - t |y|^2). Where a row's weight is tiny and its distance huge,
large terms cancel: the entry is then inexact, and the table says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.kernels.lanes import lanes_instead_of_threads
from varangian.kernels.products import filled

FINE, COARSE = 1e-4, 1e-2
"""A folded squared distance below this share of its largest terms is inexact: by float64, by float32."""

ROUNDING = 1e-12
"""Share of a squared norm by which only rounding tells two apart."""


class Table:
    """Squared distances between points, and which tables of a batch are exact; None says all.

    ``cancellation`` is how much may cancel in folding, by how they were measured.
    """

    def __init__(
        self,
        values: Float[Tensor, "*batch k k"],
        exact: Bool[Tensor, "*batch"] | None = None,
        cancellation: float = FINE,
    ) -> None:
        self._known = values, exact
        self.cancellation = cancellation

    @property
    def values(self) -> Float[Tensor, "*batch k k"]:
        """Return the distances."""
        return self._known[0]

    @property
    def exact(self) -> Bool[Tensor, "*batch"] | None:
        """Return which tables are exact, or None."""
        return self._known[1]

    @property
    def inexact(self) -> Bool[Tensor, "*batch"]:
        """Mark the tables that folding left inexact."""
        if self.exact is None:
            return torch.zeros(self.values.shape[:-2], dtype=torch.bool, device=self.values.device)
        return ~self.exact

    @property
    def trusted(self) -> bool:
        """Tell whether every table is exact."""
        return self.exact is None or bool(self.exact.all())

    def folded(self, weights: Float[Tensor, "*#batch q k"]) -> Table:
        """Return the tables of the combinations with these weights, each row of which sums to one."""
        return Folded(self, partial(fold, weights=weights))

    def scaled(self, factors: Float[Tensor, "*#batch k"], origin: int) -> Table:
        """Return the tables of the points multiplied by factors, of which the origin is one."""
        return Folded(self, partial(scale, factors=factors, origin=origin))

    def renewed(self, fresh: Float[Tensor, "*batch k k"], stale: Bool[Tensor, "*#batch"]) -> Table:
        """Return the tables, of which the stale are as freshly measured, the others the same to the bit."""
        values = torch.where(stale[..., None, None], fresh, self.values)
        return Table(values, stale | ~self.inexact, self.cancellation)


class Folded(Table):
    """Tables of combinations, made when a stage asks for them: a rule on coordinates asks for none."""

    def __init__(self, before: Table, folding: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.before, self.folding, self.cancellation = before, folding, before.cancellation

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        values, exact = self.folding(self.before.values, cancellation=self.cancellation)
        return values, exact if self.before.exact is None else exact & self.before.exact


@lanes_instead_of_threads()
def fold(
    table: Float[Tensor, "*#batch k k"], weights: Float[Tensor, "*#batch q k"], cancellation: float = FINE
) -> tuple[Float[Tensor, "*#batch q q"], Bool[Tensor, "*#batch"]]:
    """Return the distances between combinations of points, and whether cancellation left them exact.

    Each row of weights sums to one.
    """
    batch = np.broadcast_shapes(table.shape[:-2], weights.shape[:-2])
    size = weights.shape[-2]
    whole, apart = filled(table, both=True), filled(weights)
    folded = weights.new_zeros(*batch, size, size)
    exact = torch.ones(batch, dtype=torch.bool, device=weights.device)
    for i in range(size - 1):
        c = apart[..., i : i + 1, :] - apart[..., i + 1 :, :]
        value = -0.5 * ((c @ whole) * c).sum(-1)
        terms = 0.5 * ((c.abs() @ whole) * c.abs()).sum(-1)
        exact = exact & (value >= cancellation * terms).all(-1)
        folded[..., i, i + 1 :] = value.clamp(min=0.0)
        folded[..., i + 1 :, i] = folded[..., i, i + 1 :]
    return _alike(folded, weights), exact


@lanes_instead_of_threads()
def scale(
    table: Float[Tensor, "*#batch k k"],
    factors: Float[Tensor, "*#batch k"],
    origin: int,
    cancellation: float = FINE,
) -> tuple[Float[Tensor, "*#batch k k"], Bool[Tensor, "*#batch"]]:
    """Return the distances between points multiplied by factors, and whether cancellation left them exact.

    The origin is one of the points. What is not known, NaN, stays so. A distance is told by those of the two
    points alone, so that equal points stay equal to the bit. What was shortened to one length, which is then
    the largest, is as far from the origin as the others to the bit.
    """
    norms, one, other = table[..., origin], factors[..., :, None], factors[..., None, :]
    scaled = factors * norms
    kept, apart = torch.minimum(one, other) * table * torch.maximum(one, other), one - other
    values = kept + apart * (scaled[..., :, None] - scaled[..., None, :])
    terms = kept + apart.abs() * (scaled[..., :, None] + scaled[..., None, :])
    exact = (values >= cancellation * terms) | table.isnan()
    nothing, alone = norms == 0, factors * scaled  # the origin is one
    longest = alone.amax(-1, keepdim=True)
    alone = torch.where(alone > (1 - ROUNDING) * longest, longest, alone)
    values = torch.where(nothing[..., None, :], alone[..., :, None], values)
    values = torch.where(nothing[..., :, None], alone[..., None, :], values)
    exact = exact | nothing[..., None, :] | nothing[..., :, None]
    return values.clamp(min=0.0), exact.all(-1).all(-1)


def _alike(folded: Tensor, weights: Tensor) -> Tensor:
    """Return the distances, the same to the bit for the same combination: rounding must not break ties."""
    same = (weights[..., :, None, :] == weights[..., None, :, :]).all(-1)
    first = same.to(torch.uint8).argmax(-1).expand(folded.shape[:-1])
    rows = folded.gather(-2, first[..., :, None].expand_as(folded))
    return rows.gather(-1, first[..., None, :].expand_as(folded))
