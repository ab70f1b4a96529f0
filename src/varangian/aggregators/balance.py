"""Where the pulls of vectors balance: the point of least sum of distances, to the last digits.

Every vector pulls at a point with a force of its share. A vector is optimal if all others together pull
no harder than it holds. Where none is, the sum of distances is smooth around its least point, and Newton's
steps double the digits.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from varangian.core.spans import Numbers, Span

ROUNDING = 1e-12
"""A pull that exceeds what holds a vector by this share does not exceed it."""

HOPEFUL = 1e-9
"""A vector whose sum of distances is this near to the least, relatively, may be optimal."""

CLEARLY = 1e-6
"""A sum of distances that is lower by this share is lower, whatever was rounded."""

REST = 4 * np.finfo(np.float64).eps
"""A force of this size is rounding."""

NOTHING = 1e-18
"""A move by this share of the radius is none: beside copies of a vector there is no end of them."""

SOFTER = 1e-13
"""How much more than it does the sum of distances is taken to bend: so that rounding leaves it an inverse."""

TINY = np.finfo(np.float64).tiny
"""Instead of nothing, in a divisor."""

FRACTIONS = 0.25 ** np.arange(21.0)
"""How much of a move is tried: down to where the steepest is no longer than Weiszfeld's, which is safe."""


def rise(span: Span, shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "runs n"]:
    """Return how much greater the sum of distances is from each vector than from the centre.

    A difference taken term by term, in which a huge outlier drowns nothing. A vector that was drawn is too
    far out to be optimal: infinite.
    """
    stretch, square, kept = span.stretch[:, None, :], span.squares, span.stretch == 1
    change = square[:, :, None] - 2 * span.products * stretch
    own = stretch * np.sqrt(square)[:, None, :]
    apart = np.where(kept[:, None, :], span.table, np.maximum(change + own * own, 0.0))
    rises: Numbers = (shares * change / np.maximum(np.sqrt(apart) + own, TINY)).sum(-1)
    return np.where(kept, rises, np.inf)


def optimal_vectors(
    span: Span, shares: Float[np.ndarray, " n"], rises: Float[np.ndarray, "runs n"]
) -> Bool[np.ndarray, "runs n"]:
    """Mark the vectors that minimise: the pull of all others does not exceed their own weight."""
    scale = (shares * np.where(span.stretch == 1, np.sqrt(span.squares), 0.0)).sum(-1)
    hopeful = rises <= (rises.min(-1) + HOPEFUL * scale)[:, None]
    holds: NDArray[np.bool_] = np.zeros_like(hopeful)
    runs, most = np.arange(len(hopeful)), hopeful.sum(-1).max(initial=0)
    for place in rises.argsort(-1, kind="stable").T[:most]:
        holds[runs, place] = _holds(span, shares, place)
    marked: NDArray[np.bool_] = holds & hopeful
    return marked


def _holds(span: Span, shares: Numbers, place: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell whether the weight of the vector at this place, and of others there, holds against the rest."""
    between = span.around(place)
    square = np.diagonal(between, axis1=1, axis2=2)
    apart = square > 0
    pull = np.where(apart, shares / np.sqrt(np.where(apart, square, 1.0)), 0.0)
    force = np.sqrt(np.maximum((pull[:, None, :] @ between @ pull[:, :, None])[:, 0, 0], 0.0))
    holds: NDArray[np.bool_] = force <= np.where(apart, 0.0, shares).sum(-1) * (1 + ROUNDING)
    return holds


class Descent:
    """Looks for the least point, in coordinates around the best vector.

    It begins at Weiszfeld's mean as seen from that vector, where this is clearly ``below`` it, ``(runs,)``:
    then no vector is optimal.
    """

    def __init__(self, span: Span, best: Int[np.ndarray, " runs"], shares: Float[np.ndarray, " n"]) -> None:
        self.points, self.shares = span.coordinates(best), shares
        self.nothing = NOTHING * span.radius
        self.starts, self.below = _starts(self.points, shares)

    def balanced(self, steps: int, tolerance: float) -> Float[np.ndarray, "runs n"]:
        """Return the weights of the least point, where no vector is optimal.

        The first step goes below the best vector, and every other one further down: no vector is met again,
        and only there has the sum of distances a kink.
        """
        return _balanced(self.points, self.shares, self.starts, self.nothing, steps, tolerance)


def _starts(points: Numbers, shares: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return where to begin, and where that is clearly below the best vector."""
    lengths = _length(points)
    apart = lengths > 0
    pull = np.where(apart, shares / lengths, 0.0)
    typical = pull.sum(-1, keepdims=True) / (shares * apart).sum(-1, keepdims=True)
    pull = np.where(apart, pull, shares * typical)
    mean = (pull[:, None, :] @ points)[:, 0] / pull.sum(-1, keepdims=True)
    change = _change(points, lengths, shares, mean[:, None, :])[:, 0]
    below = change < -CLEARLY * (shares * lengths).sum(-1)
    return np.where(below[:, None], mean, 0.0), below


def _balanced(
    points: Numbers, shares: Numbers, z: Numbers, nothing: Numbers, steps: int, tolerance: float
) -> Numbers:
    done = np.zeros(len(z), dtype=np.bool_)
    runs = np.arange(len(z))
    before = np.zeros(len(z))
    for _ in range(steps):
        gaps = points - z[:, None, :]
        lengths = _length(gaps)
        moves, left, near = _moves(gaps, lengths, shares)
        change = _change(gaps, lengths, shares, moves)
        best = change.argmin(-1)
        done |= (left <= REST) | (change[runs, best] >= 0)
        move = np.where(done[:, None], 0.0, moves[runs, best])
        z = z + move
        # Newton's steps shrink ever faster: the next is at most as much shorter as this one was.
        length, newton = _length(move), best == 0
        after = np.where(newton & (length < before), length * length / before, length)
        before = np.where(newton, length, 0.0)
        done |= after <= np.fmax(tolerance * near, nothing)
        if done.all():
            break
    pull = shares / np.maximum(_length(points - z[:, None, :]), TINY)
    weights: Numbers = pull / pull.sum(-1, keepdims=True)
    return weights


def _length(vectors: Numbers) -> Numbers:
    lengths: Numbers = np.sqrt((vectors * vectors).sum(-1))
    return lengths


def _moves(gaps: Numbers, lengths: Numbers, shares: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return fractions of Newton's move and of the steepest, the force beyond what holds, and a mean length.

    Of Newton's, the whole comes first. The mean is harmonic.
    """
    inverse = 1 / np.where(lengths > 0, lengths, np.inf)
    pull = shares * inverse
    total = np.maximum(pull.sum(-1, keepdims=True), TINY)
    mean = (pull[:, None, :] @ gaps)[:, 0] / total  # Weiszfeld's move
    bent = gaps * (inverse * np.sqrt(pull / total))[:, :, None]
    hessian = (1 + SOFTER) * np.eye(mean.shape[-1]) - bent.swapaxes(1, 2) @ bent
    newton = np.linalg.solve(hessian, mean[:, :, None])[:, :, 0]
    size = _length(mean)[:, None]
    left = size * total - (shares * (lengths == 0)).sum(-1, keepdims=True)
    ahead = mean / np.maximum(size, TINY)
    bend = (ahead[:, None, :] @ hessian @ ahead[:, :, None])[:, 0]
    steepest = ahead * (left / total / np.maximum(bend, FRACTIONS[-1]))
    moves = np.stack([newton, steepest], axis=1)[:, :, None, :] * FRACTIONS[:, None]
    return moves.reshape(len(gaps), 2 * len(FRACTIONS), mean.shape[-1]), left[:, 0], 1 / total[:, 0]


def _change(gaps: Numbers, lengths: Numbers, shares: Numbers, moves: Numbers) -> Numbers:
    """Return how moves change the sum of distances, term by term; NaN is infinite."""
    before = lengths[:, None, :]
    difference = (moves * moves).sum(-1)[:, :, None] - 2 * (moves @ gaps.swapaxes(1, 2))
    total = before + np.sqrt(np.maximum(before * before + difference, 0.0))
    change: Numbers = (shares * difference / np.maximum(total, TINY)).sum(-1)
    return np.where(np.isfinite(change), change, np.inf)
