"""The rules of the histories, written down once more from their definitions, for two or three numbers.

They are what ``Median``, ``TrimmedMean`` and ``MinimumDiameterAveraging`` compute, cheaper at small sizes; a
test holds them to each other. A vector that is not finite counts as infinite, and as a lie.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varangian.protocols import Body


def mean(vectors: list[Body]) -> Body:
    """Return the mean, ``(d,)``."""
    middle: Body = _rows(vectors).mean(axis=0)
    return middle


def median(vectors: list[Body]) -> Body:
    """Return the coordinate-wise median, ``(d,)``; of an even number, the mean of the two in the middle."""
    rows, n = np.sort(_rows(vectors), axis=0), len(vectors)
    middle: Body = (rows[(n - 1) // 2] + rows[n // 2]) / 2
    return middle


def trimmed_mean(vectors: list[Body], f: int) -> Body:
    """Return the mean of each coordinate without its f least and f greatest values, ``(d,)``."""
    rows = np.sort(_rows(vectors), axis=0)
    kept: Body = rows[f : len(rows) - f].mean(axis=0)
    return kept


def least_diameter_mean(vectors: list[Body], f: int) -> Body:
    """Return the mean of the n - f vectors that are the least far from each other, ``(d,)``."""
    rows = _rows(vectors)
    with np.errstate(invalid="ignore"):
        gaps = rows[:, None] - rows[None]
    squares = np.nan_to_num((gaps * gaps).sum(axis=-1), nan=np.inf)
    np.fill_diagonal(squares, np.where(np.isfinite(rows).all(axis=1), 0.0, np.inf))
    groups = _groups(len(rows), f)
    diameters = squares[groups[:, :, None], groups[:, None, :]].max(axis=(1, 2))
    closest: Body = rows[groups[int(diameters.argmin())]].mean(axis=0)
    return closest


@lru_cache
def _groups(n: int, f: int) -> NDArray[Any]:
    return np.array(list(combinations(range(n), n - f)))


def _rows(vectors: list[Body]) -> Body:
    rows = np.stack(vectors)
    rows[~np.isfinite(rows).all(axis=1)] = np.inf
    return rows
