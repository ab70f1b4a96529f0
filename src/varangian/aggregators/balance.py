"""Where the pulls of vectors balance: the point of least sum of distances, to the last digits.

Every vector pulls at a point with a force of its share. A vector is optimal if all others together pull
no harder than it holds. Where none is, the sum of distances is smooth around its least point, and Newton's
steps double the digits.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.core.spans import Span

ROUNDING = 1e-12
"""A pull that exceeds what holds a vector by this share does not exceed it."""

HOPEFUL = 1e-9
"""A vector whose sum of distances is this near to the least, relatively, may be optimal."""

REST = 4 * torch.finfo(torch.float64).eps
"""A force of this size is rounding."""

FRACTIONS = tuple(0.25**k for k in range(21))
"""How much of a move is tried: down to where the steepest is no longer than Weiszfeld's, which is safe."""


def rise(span: Span, shares: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Return how much greater the sum of distances is from each vector than from the centre.

    A difference taken term by term, in which a huge outlier drowns nothing. A vector that was drawn is too
    far out to be optimal: infinite.
    """
    square = torch.diagonal(span.products, dim1=-2, dim2=-1)
    change = square[..., :, None] - 2 * span.products * span.stretch[..., None, :]
    own = (span.stretch.square() * square)[..., None, :]
    kept = span.stretch == 1
    distance = torch.where(kept[..., None, :], span.table, (change + own).clamp(min=0.0)).sqrt()
    total = distance + own.sqrt()
    rises = (shares[..., None, :] * change / torch.where(total > 0, total, 1.0)).sum(-1)
    return torch.where(kept, rises, torch.inf)


def optimal_vectors(
    span: Span, shares: Float[Tensor, "*batch n"], rises: Float[Tensor, "*batch n"]
) -> Bool[Tensor, "*batch n"]:
    """Mark the vectors that minimise: the pull of all others does not exceed their own weight."""
    radii = torch.diagonal(span.products, dim1=-2, dim2=-1).sqrt()
    scale = (shares * torch.where(span.stretch == 1, radii, 0.0)).sum(-1, keepdim=True)
    hopeful = rises <= rises.amin(-1, keepdim=True) + HOPEFUL * scale
    order = rises.argsort(dim=-1, stable=True)
    holds = torch.zeros_like(hopeful)
    for rank, place in enumerate(order.unbind(-1)):
        if not bool((hopeful.sum(-1) > rank).any()):
            break
        holds = holds.scatter(-1, place[..., None], _holds(span, shares, place)[..., None])
    return holds & hopeful


def _holds(span: Span, shares: Tensor, place: Tensor) -> Tensor:
    """Tell whether the weight of the vector at this place, and of others there, holds against the rest."""
    between = span.around(place)
    square = torch.diagonal(between, dim1=-2, dim2=-1)
    apart = square > 0
    pull = torch.where(apart, shares / torch.where(apart, square, 1.0).sqrt(), 0.0)
    force = (pull[..., None, :] @ between @ pull[..., :, None])[..., 0, 0].clamp(min=0.0).sqrt()
    here = torch.where(apart, 0.0, shares).sum(-1)
    return force <= here * (1 + ROUNDING)


def balanced(
    points: Float[Tensor, "p n r"], shares: Float[Tensor, "p n"], steps: int, tolerance: float
) -> Float[Tensor, "p n"]:
    """Return the weights of the least point, from coordinates around the best vector, which is not optimal.

    The first step goes below the best vector, and every other one further down: no vector is met again,
    and only there has the sum of distances a kink.
    """
    fractions = torch.tensor(FRACTIONS, dtype=points.dtype, device=points.device)
    z = torch.zeros_like(points[:, 0, :])
    done = torch.zeros_like(z[:, 0], dtype=torch.bool)
    for _ in range(steps):
        gaps = points - z[:, None, :]
        lengths = gaps.square().sum(-1).sqrt()
        moves, left, near = _moves(gaps, lengths, shares)
        change, best = _change(gaps, lengths, shares, moves, fractions).flatten(1).min(-1)
        chosen = (best // len(fractions))[:, None, None].expand(-1, 1, moves.shape[-1])
        move = moves.gather(1, chosen)[:, 0] * fractions[best % len(fractions), None]
        done = done | (left <= REST) | (change >= 0)
        z = torch.where(done[:, None], z, z + move)
        done = done | (move.square().sum(-1).sqrt() <= tolerance * near)
        if bool(done.all()):
            break
    lengths = (points - z[:, None, :]).square().sum(-1).sqrt()
    pull = shares / lengths.clamp(min=torch.finfo(points.dtype).tiny)
    return pull / pull.sum(-1, keepdim=True)


def _moves(gaps: Tensor, lengths: Tensor, shares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Newton's move and the steepest, the force beyond what holds, and the harmonic mean length."""
    apart = lengths > 0
    inverse = torch.where(apart, 1 / torch.where(apart, lengths, 1.0), 0.0)
    units = gaps * inverse[..., None]
    pull = shares * inverse
    force = (shares[..., None] * units).sum(-2)
    size = force.square().sum(-1).sqrt()
    left = size - torch.where(apart, 0.0, shares).sum(-1)
    total = pull.sum(-1)
    hessian = torch.diag_embed(total[:, None].expand_as(force)) - units.mT @ (pull[..., None] * units)
    newton = torch.linalg.solve_ex(hessian, force[..., None]).result[..., 0]
    ahead = force / torch.where(size > 0, size, 1.0)[:, None]
    bend = (ahead[:, None, :] @ hessian @ ahead[..., None])[:, 0, 0].maximum(FRACTIONS[-1] * total)
    return torch.stack([newton, ahead * (left / bend)[:, None]], dim=-2), left, 1 / total


def _change(gaps: Tensor, lengths: Tensor, shares: Tensor, moves: Tensor, fractions: Tensor) -> Tensor:
    """Return how fractions of the moves change the sum of distances, term by term; NaN is infinite."""
    along = (moves @ gaps.mT)[:, :, None, :]
    square = moves.square().sum(-1)[:, :, None, None]
    difference = fractions[:, None] * (fractions[:, None] * square - 2 * along)
    before = lengths[:, None, None, :]
    total = before + (before.square() + difference).clamp(min=0.0).sqrt()
    change = (difference / torch.where(total > 0, total, 1.0) * shares[:, None, None, :]).sum(-1)
    return torch.where(change.isfinite(), change, torch.inf)
