"""Where the pulls of vectors balance: the point of least sum of distances, to the last digits.

Every vector pulls at a point with a force of its share. A vector is optimal if all others together pull
no harder than it holds. Where none is, the sum of distances is smooth around its least point, and Newton's
steps double the digits.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from varangian.core.spans import Span

Numbers = NDArray[np.float64]

ROUNDING = 1e-12
"""A pull that exceeds what holds a vector by this share does not exceed it."""

HOPEFUL = 1e-9
"""A vector whose sum of distances is this near to the least, relatively, may be optimal."""

CLEARLY = 1e-6
"""A sum of distances that is lower by this share is lower, whatever was rounded."""

REST = 4 * torch.finfo(torch.float64).eps
"""A force of this size is rounding."""

NOTHING = 1e-18
"""A move by this share of the middle distance is none: beside copies of a vector there is no end of them."""

FRACTIONS = 0.25 ** np.arange(21.0)
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


class Descent:
    """Looks for the least point, in coordinates ``(p, n, r)`` around the best vector.

    It begins at Weiszfeld's mean as seen from that vector, where this is clearly ``below`` it: then no vector
    is optimal. NumPy begins an operation in a third of PyTorch's time, and these are many and small.
    """

    def __init__(self, points: Float[Tensor, "*batch n r"], shares: Float[Tensor, "*batch n"]) -> None:
        self.shape, self.device = shares.shape, points.device
        count = self.shape[:-1].numel()
        self.points = points.cpu().numpy().reshape(count, *points.shape[-2:])
        self.shares = shares.cpu().numpy().reshape(count, self.shape[-1])
        with np.errstate(all="ignore"):
            self.starts, below = _starts(self.points, self.shares)
        self.below = torch.from_numpy(below).view(self.shape[:-1]).to(self.device)

    def balanced(self, steps: int, tolerance: float) -> Float[Tensor, "*batch n"]:
        """Return the weights of the least point, where no vector is optimal.

        The first step goes below the best vector, and every other one further down: no vector is met again,
        and only there has the sum of distances a kink.
        """
        with np.errstate(all="ignore"):  # what is not finite is tried, and not taken
            weights = _balanced(self.points, self.shares, self.starts, steps, tolerance)
        return torch.from_numpy(weights).view(self.shape).to(self.device)


def _starts(points: Numbers, shares: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return where to begin, and where that is clearly below the best vector."""
    lengths = _length(points)
    apart = lengths > 0
    pull = np.where(apart, shares / lengths, 0.0)
    typical = pull.sum(-1, keepdims=True) / (shares * apart).sum(-1, keepdims=True)
    pull = np.where(apart, pull, shares * typical)
    mean = (pull[:, None, :] @ points)[:, 0] / pull.sum(-1, keepdims=True)
    change = _change(points, lengths, shares, mean[:, None, :])[:, 0, 0]
    below = change < -CLEARLY * (shares * lengths).sum(-1)
    return np.where(below[:, None], mean, 0.0), below


def _balanced(points: Numbers, shares: Numbers, z: Numbers, steps: int, tolerance: float) -> Numbers:
    done = np.zeros(len(z), dtype=np.bool_)
    every = np.arange(len(z))
    nothing = NOTHING * _middle(_length(points), shares)
    before = np.zeros(len(z))
    for _ in range(steps):
        if done.all():
            break
        gaps = points - z[:, None, :]
        lengths = _length(gaps)
        moves, left, near = _moves(gaps, lengths, shares)
        change = _change(gaps, lengths, shares, moves).reshape(len(z), -1)
        best = change.argmin(-1)
        which, fraction = np.divmod(best, len(FRACTIONS))
        move = moves[every, which] * FRACTIONS[fraction, None]
        done |= (left <= REST) | (change[every, best] >= 0)
        z = np.where(done[:, None], z, z + move)
        # Newton's steps shrink ever faster: the next is at most as much shorter as this one was.
        length, newton = _length(move), best == 0
        after = np.where(newton & (length < before), length * length / before, length)
        before = np.where(newton, length, 0.0)
        done |= after <= np.fmax(tolerance * near, nothing)
    pull = shares / np.maximum(_length(points - z[:, None, :]), np.finfo(np.float64).tiny)
    weights: Numbers = pull / pull.sum(-1, keepdims=True)
    return weights


def _middle(lengths: Numbers, shares: Numbers) -> Numbers:
    """Return the length up to which half of the shares reaches."""
    order = lengths.argsort(-1)
    held = np.take_along_axis(shares, order, -1).cumsum(-1)
    place = (held >= held[:, -1:] / 2).argmax(-1)
    middle: Numbers = np.take_along_axis(lengths, order, -1)[np.arange(len(place)), place]
    return middle


def _length(vectors: Numbers) -> Numbers:
    lengths: Numbers = np.sqrt((vectors * vectors).sum(-1))
    return lengths


def _moves(gaps: Numbers, lengths: Numbers, shares: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return Newton's move and the steepest, the force beyond what holds, and the harmonic mean length."""
    apart = lengths > 0
    inverse = np.where(apart, 1 / lengths, 0.0)
    units = gaps * inverse[..., None]
    pull = shares * inverse
    force = (shares[:, None, :] @ units)[:, 0]
    size = _length(force)
    left = size - (shares * ~apart).sum(-1)
    total = pull.sum(-1)
    hessian = total[:, None, None] * np.eye(force.shape[-1]) - units.swapaxes(1, 2) @ (
        pull[..., None] * units
    )
    newton = torch.linalg.solve_ex(torch.from_numpy(hessian), torch.from_numpy(force)[..., None]).result
    ahead = force / np.where(size > 0, size, 1.0)[:, None]
    bend = (ahead[:, None, :] @ hessian @ ahead[..., None])[:, 0, 0]
    steepest = ahead * (left / np.maximum(bend, FRACTIONS[-1] * total))[:, None]
    return np.stack([newton.numpy()[..., 0], steepest], axis=-2), left, 1 / total


def _change(gaps: Numbers, lengths: Numbers, shares: Numbers, moves: Numbers) -> Numbers:
    """Return how fractions of the moves change the sum of distances, term by term; NaN is infinite."""
    along = (moves @ gaps.swapaxes(1, 2))[:, :, None, :]
    square = (moves * moves).sum(-1)[:, :, None, None]
    fractions = FRACTIONS[:, None]
    difference = fractions * (fractions * square - 2 * along)
    before = lengths[:, None, None, :]
    total = before + np.sqrt(np.maximum(before * before + difference, 0.0))
    terms = difference / np.where(total > 0, total, 1.0) * shares[:, None, None, :]
    change: Numbers = terms.sum(-1)
    change[~np.isfinite(change)] = np.inf
    return change
