"""Float64 brute force of the aggregation rules, written from their definitions.

Every rule takes `x: (n, d)` and returns `(d,)`; every mixer and selection returns `(m, d)`.
Obvious and slow on purpose: vectors rather than distance matrices, enumeration rather than
search, correctly rounded sums (`math.fsum`), ties to the lowest index. Inputs are finite, and
below 1e150 so that squares do not overflow.

A case whose answer hangs on rounding raises `Ambiguous`: discard it. Exact ties do not. To
compare with a coarser arithmetic, widen `MARGIN`.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Concatenate, ParamSpec

import mpmath
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
P = ParamSpec("P")

MARGIN = 1e-11  # competing scores closer than this (relative), yet not equal, are ambiguous
SPECTRAL_GAP = 1e-6  # two top eigenvalues closer than this leave the top direction undefined
SPECTRAL_TIE = 1e-9  # quantities computed through an eigenvector compete within this
SPECTRAL_EQUAL = 1e-12  # ... and are equal in exact arithmetic within this
SPECTRAL_ZERO = 1e-28  # a variance this far under the squared norms is rounding

CERTAIN = 1e-20  # in 80 digits: what differs by less is equal
PULL_TIE = 1e-10  # a vector pulled at as hard as it weighs, within this, may or may not be optimal
FLAT = 1e-5  # a sum of distances that bends so much less than a circle around a median distance is flat


class Ambiguous(Exception):  # noqa: N818 (a verdict on the case, not an error)
    """Say that rounding, not the definition, decides the answer of this case."""


def float64(
    function: Callable[Concatenate[Array, P], Array],
) -> Callable[Concatenate[ArrayLike, P], Array]:
    """Hand the function its own float64 copy of `x`."""

    @functools.wraps(function)
    def converted(x: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array:
        rows = np.array(x, dtype=np.float64)
        if rows.ndim != 2 or not len(rows):
            raise ValueError(f"expected a non-empty (n, d) array, received shape {rows.shape}")
        return function(rows, *args, **kwargs)

    return converted


# Shared arithmetic


def _squared_norm(v: Array) -> float:
    return math.fsum(v * v)


def _norm(v: Array) -> float:
    return math.sqrt(_squared_norm(v))


def _squared_distance(a: Array, b: Array) -> float:
    return _squared_norm(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))


def _distance(a: Array, b: Array) -> float:
    return math.sqrt(_squared_distance(a, b))


def _mean(rows: Array) -> Array:
    return np.array([math.fsum(column) / len(rows) for column in rows.T])


def _normalised(weights: ArrayLike | None, n: int) -> Array:
    """Return `n` weights of sum 1, uniform by default."""
    w = np.ones(n) if weights is None else np.array(weights, dtype=np.float64)
    if w.shape != (n,) or (w < 0).any() or not w.any():
        raise ValueError(f"expected {n} non-negative weights, not all zero, received {w}")
    return w / math.fsum(w)


def _weighted_mean(x: Array, w: Array) -> Array:
    return np.array([math.fsum(w * column) / math.fsum(w) for column in x.T])


def _lowest(scores: Iterable[float], count: int) -> list[int]:
    """Return the indices of the `count` lowest scores, best first, ties by lowest index."""
    scores = list(scores)
    if not 1 <= count <= len(scores):
        raise ValueError(f"cannot keep {count} of {len(scores)}")
    order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    kept, dropped = order[:count], order[count:]
    for i, j in itertools.product(kept, dropped):
        gap, size = abs(scores[i] - scores[j]), max(abs(scores[i]), abs(scores[j]))
        if 0 < gap <= MARGIN * size:
            raise Ambiguous(f"scores {scores[i]!r} and {scores[j]!r} compete")
    return kept


# Coordinate rules


@float64
def average(x: Array, weights: ArrayLike | None = None) -> Array:
    """Return the mean of the rows, weighted if weights are given."""
    return _mean(x) if weights is None else _weighted_mean(x, _normalised(weights, len(x)))


def _middle(values: Sequence[float], lower: bool) -> float:
    ordered = sorted(values)
    n = len(ordered)
    if n % 2 == 1:
        return ordered[n // 2]
    below, above = ordered[n // 2 - 1], ordered[n // 2]
    return below if lower else (below + above) / 2


@float64
def median(x: Array, lower: bool = False) -> Array:
    """Return the median per coordinate; of an even number, the mean of the two middle values."""
    return np.array([_middle(column.tolist(), lower) for column in x.T])


@float64
def trimmed_mean(x: Array, f: int) -> Array:
    """Return, per coordinate, the mean of what is left without the f lowest and f highest."""
    n = len(x)
    if n <= 2 * f:
        raise ValueError(f"trimming {f} on each side leaves nothing of {n}")
    return np.array([math.fsum(sorted(column)[f : n - f]) / (n - 2 * f) for column in x.T])


@float64
def weighted_trimmed_mean(x: Array, weights: ArrayLike, mass: float) -> Array:
    """Return, per coordinate, the weighted mean without the lowest and highest `mass`.

    The sorted values lie end to end on [0, 1], each as long as its weight; what lies within
    [mass, 1 - mass] stays. A remainder under 1e-12 is rounding (mass = f/n, equal weights), and
    must not carry a huge value in.
    """
    n = len(x)
    w = _normalised(weights, n)
    if not 0 <= mass < 0.5:
        raise ValueError(f"trimming a mass {mass} on each side leaves nothing of 1")
    result = []
    for column in x.T:
        order = sorted(range(n), key=lambda i: (column[i], i))
        left = []
        for position in range(n):
            start = math.fsum(w[order[:position]])
            end = math.fsum(w[order[: position + 1]])
            overlap = min(end, 1 - mass) - max(start, mass)
            left.append(overlap if overlap > 1e-12 else 0.0)
        result.append(math.fsum(np.array(left) * column[order]) / math.fsum(left))
    return np.array(result)


def _mean_of_nearest(values: Sequence[float], centre: float, keep: int, rounded: bool) -> float:
    """Return the mean of the `keep` values nearest `centre`, the lower of two equally near.

    With `rounded` the centre or the values carry rounding, which must not be what decides
    between two values that differ by more.
    """
    if not 1 <= keep <= len(values):
        raise ValueError(f"cannot keep {keep} of {len(values)}")
    ordered = sorted(values, key=lambda v: (abs(v - centre), v))
    kept, dropped = ordered[:keep], ordered[keep:]
    if rounded:
        for a, b in itertools.product(kept, dropped):
            gap, size = abs(abs(a - centre) - abs(b - centre)), max(abs(centre), abs(a), abs(b))
            if abs(a - b) > MARGIN * size and 0 < gap <= MARGIN * size:
                raise Ambiguous(f"values {a!r} and {b!r} compete for {centre!r}")
    return math.fsum(kept) / keep


@float64
def mean_around_median(x: Array, keep: int, lower: bool = False) -> Array:
    """Return, per coordinate, the mean of the `keep` values nearest the median."""
    rounded = len(x) % 2 == 0 and not lower
    return np.array(
        [_mean_of_nearest(column.tolist(), _middle(column.tolist(), lower), keep, rounded) for column in x.T]
    )


@float64
def phocas(x: Array, f: int) -> Array:
    """Return, per coordinate, the mean of the n - f values nearest the trimmed mean."""
    return np.array(
        [
            _mean_of_nearest(column.tolist(), float(centre), len(x) - f, rounded=True)
            for column, centre in zip(x.T, trimmed_mean(x, f), strict=True)
        ]
    )


@float64
def sign_majority(x: Array) -> Array:
    """Return, per coordinate, the sign of the sum of the signs."""
    signs: Array = np.sign(np.sign(x).sum(axis=0))
    return signs


@float64
def condense(x: Array, mask: Mask) -> Array:
    """Return the median where the mask is true, else the coordinate of the first vector."""
    return np.where(mask, median(x), x[0])


# Krum and its descendants


@float64
def krum_scores(x: Array, f: int, neighbours: int | None = None, squared: bool = True) -> Array:
    """Return `(n,)`: the sum of the distances to the n - f - 2 nearest others."""
    n = len(x)
    neighbours = n - f - 2 if neighbours is None else neighbours
    if not 0 <= neighbours <= n - 1:
        raise ValueError(f"a vector among {n} has {n - 1} others, not {neighbours} neighbours")
    measure = _squared_distance if squared else _distance
    scores = []
    for i in range(n):
        others = sorted(measure(x[i], x[j]) for j in range(n) if j != i)
        scores.append(math.fsum(others[:neighbours]))
    return np.array(scores)


@float64
def krum(x: Array, f: int, neighbours: int | None = None, squared: bool = True) -> Array:
    """Return the vector of least score."""
    winner: Array = x[_lowest(krum_scores(x, f, neighbours, squared), 1)[0]]
    return winner


@float64
def multi_krum(
    x: Array,
    f: int,
    m: int | None = None,
    neighbours: int | None = None,
    squared: bool = True,
) -> Array:
    """Return the mean of the m vectors of least score, n - f - 2 by default."""
    m = len(x) - f - 2 if m is None else m
    return _mean(x[_lowest(krum_scores(x, f, neighbours, squared), m)])


@float64
def bulyan_selection(x: Array, f: int, theta: int | None = None) -> Array:
    """Return `(theta, d)`: Krum on the vectors left, its winner removed, theta times."""
    theta = len(x) - 2 * f - 2 if theta is None else theta
    alive = list(range(len(x)))
    selected = []
    for _ in range(theta):
        left = x[alive]
        winner = alive[_lowest(krum_scores(left, f, len(left) - f - 2), 1)[0]]
        selected.append(x[winner])
        alive.remove(winner)
    return np.array(selected)


@float64
def bulyan(x: Array, f: int, theta: int | None = None) -> Array:
    """Return, per coordinate, the mean of the theta - 2f selected values nearest their median."""
    selected = bulyan_selection(x, f, theta)
    return mean_around_median(selected, len(selected) - 2 * f)


@float64
def multi_bulyan_selection(x: Array, f: int, squared: bool = True, pruned: bool = True) -> Array:
    """Return `(theta, d)`: means of the (n - f - 2) - k best alive, the best removed each time.

    Neighbours are chosen once, over the full set. With `pruned` a removed vector no longer
    counts in the scores of those it was a neighbour of; without, scores keep their first value.
    """
    n = len(x)
    m, theta = n - f - 2, n - 2 * f - 2
    measure = _squared_distance if squared else _distance

    neighbours = []
    doubtful = []  # vectors with near ties for their last neighbour
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: (measure(x[i], x[j]), j))
        neighbours.append(others[:m])
        try:
            _lowest([measure(x[i], x[j]) for j in others], m)
        except Ambiguous:
            doubtful.append(i)

    alive = list(range(n))
    outputs = []
    for k in range(theta):
        counted = alive if pruned else list(range(n))
        scores = [math.fsum(measure(x[i], x[j]) for j in neighbours[i] if j in counted) for i in alive]
        kept = _lowest(scores, m - k)
        if pruned:  # whoever its neighbours are, at least m - k of them are alive
            for i in set(doubtful) & set(alive):
                distances = sorted(measure(x[i], x[j]) for j in alive if j != i)
                if math.fsum(distances[: m - k]) <= scores[kept[-1]] * (1 + MARGIN):
                    raise Ambiguous(f"vector {i} may be selected, and its neighbours compete")
        outputs.append(_mean(x[[alive[position] for position in kept]]))
        if k < theta - 1:
            alive.remove(alive[_lowest(scores, 1)[0]])
    return np.array(outputs)


def _column_step(outputs: Array, f: int, lower: bool) -> Array:
    """Return, per coordinate, the mean of the theta - 2f outputs nearest their median."""
    return np.array(
        [
            _mean_of_nearest(values, _middle(values, lower), len(outputs) - 2 * f, rounded=True)
            for values in outputs.T.tolist()
        ]
    )


@float64
def multi_bulyan(x: Array, f: int) -> Array:
    """Return the column step of Multi-Bulyan's selection."""
    return _column_step(multi_bulyan_selection(x, f), f, lower=False)


@float64
def bulyan_as_released(x: Array, f: int) -> Array:
    """Return what the authors' Python returns: unsquared, never pruned, lower median."""
    return _column_step(multi_bulyan_selection(x, f, squared=False, pruned=False), f, lower=True)


# Selections


@float64
def mda(x: Array, f: int) -> Array:
    """Return the mean of the subset of n - f of least diameter, the first of equal ones."""
    subsets = list(itertools.combinations(range(len(x)), len(x) - f))
    diameters = [
        max((_squared_distance(x[i], x[j]) for i, j in itertools.combinations(s, 2)), default=0.0)
        for s in subsets
    ]
    return _mean(x[list(subsets[_lowest(diameters, 1)[0]])])


@float64
def aksel(x: Array, keep: int | None = None, lower: bool = False) -> Array:
    """Return the mean of the `keep` vectors nearest the median, half of them by default."""
    keep = (len(x) + 1) // 2 if keep is None else keep
    centre = median(x, lower)
    return _mean(x[_lowest([_squared_distance(row, centre) for row in x], keep)])


@float64
def cge(x: Array, f: int) -> Array:
    """Return the mean without the f vectors of largest norm."""
    return _mean(x[_lowest([_squared_norm(row) for row in x], len(x) - f)])


@float64
def monna(x: Array, own: Array, f: int) -> Array:
    """Return the mean of the n - f vectors nearest one's own."""
    return _mean(x[_lowest([_squared_distance(row, own) for row in x], len(x) - f)])


# Iterations


@float64
def geometric_median(x: Array, steps: int, nu: float, weights: ArrayLike | None = None) -> Array:
    """Return exactly `steps` smoothed Weiszfeld steps from the weighted mean."""
    w = _normalised(weights, len(x))
    z = _weighted_mean(x, w)
    for _ in range(steps):
        z = _weighted_mean(
            x, np.array([w_i / max(nu, _distance(row, z)) for w_i, row in zip(w, x, strict=True)])
        )
    return z


@float64
def exact_geometric_median(x: Array, weights: ArrayLike | None = None) -> Array:
    """Return the point of least weighted sum of distances; of a whole stretch of such points, the midpoint.

    In 80 digits, so that no outlier drowns a decision. A vector minimises if the others pull at it no
    harder than it weighs. Where none does, Newton's steps, halved until they descend, from beside the best
    vector to where the pulls balance. That point is ambiguous where it moves by more than 1e5 times what
    rounds a distance: vectors nearly on a line, of which an even number has a stretch of nearly least points.
    """
    with mpmath.workdps(80):
        weight = _weight_by_place(x, np.ones(len(x)) if weights is None else np.asarray(weights))
        excess = {p: mpmath.norm(_pull(p, weight)) / w - 1 if w else mpmath.inf for p, w in weight.items()}
        if any(CERTAIN < abs(value) <= PULL_TIE for value in excess.values()):
            raise Ambiguous("a vector is optimal by a rounding")
        optimal = [p for p, value in excess.items() if value <= CERTAIN]
        if optimal:
            return np.array([float((a + b) / 2) for a, b in zip(min(optimal), max(optimal), strict=True)])
        best = min(weight, key=lambda p: _sum_of_distances(p, weight))
        z = _descended(best, _pull(best, weight), weight)
        for _ in range(100):
            stiffness = _stiffness(z, weight)
            move = mpmath.lu_solve(stiffness, _pull(z, weight))
            if mpmath.norm(move) <= CERTAIN * mpmath.norm(stiffness) ** -1:
                break
            z = _descended(z, move, weight)
        if mpmath.norm(_pull(z, weight)) > CERTAIN:
            raise AssertionError(f"the pulls do not balance for {x!r}")
        bends = np.linalg.eigvalsh(np.array(stiffness.tolist(), dtype=np.float64))
        if bends[0] * float(np.median([_between(z, place)[1] for place in weight])) <= FLAT:
            raise Ambiguous(f"a stretch is nearly least: the sum of distances bends by {bends}")
        return np.array([float(value) for value in z])


Place = tuple[mpmath.mpf, ...]


def _weight_by_place(x: Array, weights: Array) -> dict[Place, mpmath.mpf]:
    places: dict[Place, mpmath.mpf] = {}
    for row, w in zip(x.tolist(), weights.tolist(), strict=True):
        place = tuple(mpmath.mpf(value) for value in row)
        places[place] = places.get(place, mpmath.mpf(0)) + mpmath.mpf(w)
    total = sum(places.values())
    return {place: w / total for place, w in places.items()}


def _between(a: Place, b: Place) -> tuple[mpmath.matrix, mpmath.mpf]:
    gap = mpmath.matrix([q - p for p, q in zip(a, b, strict=True)])
    return gap, mpmath.norm(gap)


def _sum_of_distances(z: Place, weight: dict[Place, mpmath.mpf]) -> mpmath.mpf:
    return sum(w * _between(z, place)[1] for place, w in weight.items())


def _pull(z: Place, weight: dict[Place, mpmath.mpf]) -> mpmath.matrix:
    """Return the weighted sum of the unit vectors from z to every other place."""
    pull = mpmath.zeros(len(z), 1)
    for place, w in weight.items():
        if place != z:
            gap, length = _between(z, place)
            pull += gap * (w / length)
    return pull


def _stiffness(z: Place, weight: dict[Place, mpmath.mpf]) -> mpmath.matrix:
    """Return the second derivative of the sum of distances at z, which is none of the places."""
    stiffness = mpmath.zeros(len(z))
    for place, w in weight.items():
        gap, length = _between(z, place)
        stiffness += (mpmath.eye(len(z)) - gap * gap.T / length**2) * (w / length)
    return stiffness


def _descended(z: Place, move: mpmath.matrix, weight: dict[Place, mpmath.mpf]) -> Place:
    """Return z after the move, halved until the sum of distances is less than at z."""
    before = _sum_of_distances(z, weight)
    for _ in range(120):
        moved = tuple(value + step for value, step in zip(z, move, strict=True))
        if _sum_of_distances(moved, weight) < before:
            return moved
        move = move / 2
    return z


def _clip(v: Array, level: float) -> Array:
    """Return `v`, scaled to norm `level` if longer."""
    norm = _norm(v)
    return v if norm <= level else v * (level / norm)


@float64
def centered_clipping(
    x: Array, tau: float, steps: int, start: ArrayLike, weights: ArrayLike | None = None
) -> Array:
    """Return `start` moved `steps` times by the mean of the differences clipped to tau."""
    w = _normalised(weights, len(x))
    v = np.array(start, dtype=np.float64)
    for _ in range(steps):
        moves = np.array([_clip(row - v, tau) for row in x])
        v = v + np.array([math.fsum(w * column) for column in moves.T])
    return v


@float64
def fltrust(x: Array, g0: ArrayLike) -> Array:
    """Return the mean of the rows rescaled to |g0|, weighted by ReLU(cos(x_i, g0)).

    A zero vector has no direction, so cosine 0; when nothing is trusted the answer is zero.
    """
    pivot = np.array(g0, dtype=np.float64)
    trusts, rescaled = [], []
    for row in x:
        product = _norm(row) * _norm(pivot)
        trusts.append(max(0.0, math.fsum(row * pivot) / product) if product > 0 else 0.0)
        rescaled.append(row * (_norm(pivot) / _norm(row)) if _norm(row) > 0 else row)
    if not any(trusts):
        return np.zeros_like(pivot)
    return _weighted_mean(np.array(rescaled), np.array(trusts))


# Spectral rules


def _spectrum(x: Array, c: Array) -> tuple[Array, float, float, Array]:
    """Return mean, two top eigenvalues and top eigenvector of the covariance weighted by c."""
    mean = _weighted_mean(x, c)
    centred = x - mean
    d = x.shape[1]
    covariance = np.array(
        [[math.fsum(c * centred[:, a] * centred[:, b]) / math.fsum(c) for b in range(d)] for a in range(d)]
    ).reshape(d, d)
    scale = max(_squared_norm(row) for row, c_i in zip(x, c, strict=True) if c_i > 0)
    values, vectors = np.linalg.eigh(covariance)  # ascending
    if d == 0 or values[-1] <= SPECTRAL_ZERO * scale:
        return mean, 0.0, 0.0, np.zeros(d)
    second = max(0.0, float(values[-2])) if d > 1 else 0.0
    return mean, float(values[-1]), second, vectors[:, -1]


def _refuse_shared_top(first: float, second: float) -> None:
    if first > 0 and first - second <= SPECTRAL_GAP * first:
        raise Ambiguous(f"two top eigenvalues {first!r} and {second!r}")


def _differ(a: Array, b: Array) -> bool:
    """Tell whether two means differ by more than rounding."""
    return bool(np.abs(a - b).max() > SPECTRAL_TIE * max(np.abs(a).max(), np.abs(b).max()))


@float64
def smea(x: Array, f: int) -> Array:
    """Return the mean of the subset of n - f whose covariance has least largest eigenvalue."""
    n = len(x)
    candidates = []
    for subset in itertools.combinations(range(n), n - f):
        mean, top, _, _ = _spectrum(x[list(subset)], np.ones(n - f))
        candidates.append((top, mean))
    least = min(top for top, _ in candidates)
    best = next(mean for top, mean in candidates if top <= least * (1 + SPECTRAL_EQUAL))
    for top, mean in candidates:
        if top <= least * (1 + SPECTRAL_TIE) and _differ(mean, best):
            raise Ambiguous(f"two subsets of top eigenvalue {least!r} and {top!r}")
    return best


@float64
def caf(x: Array, f: int) -> Array:
    """Return the weighted mean of least top eigenvalue seen while outliers are weighted down.

    The largest squared projection is taken over the vectors still of positive weight: over all
    of them, a removed far outlier would stall the loop. f = 0 never enters it: the mean.
    """
    n = len(x)
    c = np.ones(n)
    best, least = _mean(x), math.inf
    while math.fsum(c) > n - 2 * f:
        mean, top, second, direction = _spectrum(x, c)
        if top == 0:
            return mean
        if abs(top - least) <= SPECTRAL_TIE * top and _differ(mean, best):
            raise Ambiguous(f"two means of top eigenvalue {top!r} and {least!r}")
        if top < least:
            best, least = mean, top
        _refuse_shared_top(top, second)

        projections = np.array([math.fsum((row - mean) * direction) ** 2 for row in x])
        largest = max(p for p, c_i in zip(projections, c, strict=True) if c_i > 0)
        for i in range(n):
            remainder = 1 - projections[i] / largest
            if c[i] == 0 or remainder <= SPECTRAL_EQUAL:
                c[i] = 0.0
            elif remainder <= SPECTRAL_TIE:
                raise Ambiguous(f"vector {i} keeps a weight of {remainder!r}")
            else:
                c[i] *= remainder
        if 0 < abs(math.fsum(c) - (n - 2 * f)) <= SPECTRAL_TIE * n:
            raise Ambiguous(f"total weight {math.fsum(c)!r} against {n - 2 * f}")
    return best


@float64
def dnc(x: Array, f: int, masks: Sequence[Mask], c: float) -> Array:
    """Return the mean of the vectors that no mask drops.

    Each mask drops the int(c f) vectors of largest squared projection on the top right singular
    vector of its centred columns.
    """
    n = len(x)
    dropped_count = int(c * f)
    survivors = set(range(n))
    if dropped_count:
        for mask in masks:
            columns = x[:, np.asarray(mask, dtype=bool)]
            mean, first, second, direction = _spectrum(columns, np.ones(n))
            _refuse_shared_top(first, second)
            projections = [math.fsum((row - mean) * direction) ** 2 for row in columns]
            order = sorted(range(n), key=lambda i: (projections[i], i))
            kept, dropped = order[: max(0, n - dropped_count)], order[-dropped_count:]
            for i, j in itertools.product(kept, dropped):
                gap = abs(projections[i] - projections[j])
                if 0 < gap <= SPECTRAL_TIE * max(projections):
                    raise Ambiguous(f"projections of vectors {i} and {j} compete")
            survivors &= set(kept)
    if not survivors:
        raise Ambiguous("no vector survives every mask")
    return _mean(x[sorted(survivors)])


# Mixers


@float64
def nearest_neighbor_mixing(x: Array, f: int) -> Array:
    """Return each vector replaced by the mean of the n - f nearest to it, itself included."""
    return np.array([monna(x, row, f) for row in x])


@float64
def bucketing(x: Array, permutation: Sequence[int], s: int) -> Array:
    """Return the means of consecutive groups of s permuted rows, the last maybe smaller."""
    if sorted(permutation) != list(range(len(x))):
        raise ValueError(f"not a permutation of {len(x)} rows: {permutation}")
    shuffled = x[list(permutation)]
    return np.array([_mean(shuffled[k : k + s]) for k in range(0, len(x), s)])


@float64
def clipping(x: Array, c: float) -> Array:
    """Return the rows scaled to norm c where longer."""
    return np.array([_clip(row, c) for row in x])


@float64
def adaptive_clipping(x: Array, f: int) -> Array:
    """Return the rows, the k = floor(2 f (n - f) / n) longest clipped to the next norm."""
    n = len(x)
    k = 2 * f * (n - f) // n
    return clipping(x, sorted((_norm(row) for row in x), reverse=True)[k])


@float64
def weighted_adaptive_clipping(x: Array, weights: ArrayLike, mass: float) -> Array:
    """Return the rows, those in the longest 2 mass (1 - mass) of weight clipped to the next norm.

    With equal weights and mass = f/n this is `adaptive_clipping`; the 1e-12 keeps a cumulative
    weight that should equal the mass from exceeding it.
    """
    n = len(x)
    w = _normalised(weights, n)
    order = sorted(range(n), key=lambda i: (-_norm(x[i]), i))
    for position, i in enumerate(order):
        if math.fsum(w[order[: position + 1]]) > 2 * mass * (1 - mass) + 1e-12:
            return clipping(x, _norm(x[i]))
    raise ValueError(f"a mass of {mass} clips every row")
