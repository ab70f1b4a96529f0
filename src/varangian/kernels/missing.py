"""Every column by itself where values are missing: what is not finite did not arrive, and is left out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

PIECE_ELEMENTS = 2**18
"""Numbers looked at together, so that most of what is made of them stays in the cache."""


def of_present(
    columns: Callable[[Tensor], Tensor], values: Float[Tensor, "*batch n c"], least: int
) -> Float[Tensor, "*batch c"]:
    """Return what ``columns`` makes of the values that are there, 0 where those are fewer than ``least``.

    Columns in which as many are there are done together, as those of so many vectors.
    """
    if values.sum().isfinite():
        return columns(values)
    *batch, n, width = values.shape
    flat = values.movedim(-2, 0).reshape(n, -1)
    pieces = flat.split(max(64, PIECE_ELEMENTS // n), dim=-1)
    return torch.cat([_piece(columns, piece, least) for piece in pieces]).view(*batch, width)


def mean(
    values: Float[Tensor, "*batch n c"], shares: Float[Tensor, " n"] | None = None
) -> Float[Tensor, "*batch c"]:
    """Return the mean of what is there, weighted if shares are given; 0 where nothing is."""
    if shares is None:
        shares = torch.ones(values.shape[-2], dtype=torch.float64, device=values.device)
    present, shares = values.isfinite(), shares.to(values.device)
    mass = shares @ present.double()
    return torch.where(mass > 0, (shares @ torch.where(present, values, 0.0).double()) / mass, 0.0)


def _piece(columns: Callable[[Tensor], Tensor], values: Tensor, least: int) -> Tensor:
    present = values.isfinite()
    count = present.sum(0, dtype=torch.int32)
    out = torch.zeros(len(count), dtype=torch.float64, device=values.device)
    # What is lost is lost in stretches, in each of which the same rows are there.
    changes = (present[:, 1:] != present[:, :-1]).any(0)
    stretch = torch.nn.functional.pad(changes.cumsum(0), (1, 0))
    starts = torch.nn.functional.pad(changes.nonzero()[:, 0] + 1, (1, 0))
    rows = present[:, starts].logical_not().to(torch.uint8).argsort(dim=0, stable=True)
    for there in count.unique().tolist():
        if there >= least:
            alike = (count == there).nonzero()[:, 0]
            out[alike] = columns(values[rows[:there][:, stretch[alike]], alike]).double()
    return out
