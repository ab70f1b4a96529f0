"""Comparator networks, of which only what the asked ranks need is left."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import NamedTuple


class Comparator(NamedTuple):
    """Puts the smaller of two wires on the first, the larger on the second, or just one of them."""

    i: int
    j: int
    low: bool = True
    high: bool = True


@cache
def pairwise_network(n: int) -> tuple[tuple[int, int], ...]:
    """Return the comparators (i, j), i < j, of Parberry's pairwise sorting network for any n.

    >>> pairwise_network(3)
    ((0, 1), (0, 2), (1, 2))
    """
    size = 1 << max(0, n - 1).bit_length()
    comparators: list[tuple[int, int]] = []

    def build(first: int, end: int, gap: int) -> None:
        count = (end - first) // gap
        if count < 2:
            return
        comparators.extend((i, i + gap) for i in range(first, end, 2 * gap))
        build(first, end, 2 * gap)
        build(first + gap, end + gap, 2 * gap)
        for i in range(first + gap, end - gap, 2 * gap):
            jump = count - 1
            while jump:
                if i + jump * gap < end:
                    comparators.append((i, i + jump * gap))
                jump //= 2

    build(0, size, 1)
    return tuple((i, j) for i, j in comparators if j < n)


@cache
def selection_network(labels: tuple[Hashable, ...]) -> tuple[Comparator, ...]:
    """Return the comparators that bring the ranks that are read to their wires.

    ``labels`` has an entry per rank: None if it is not read; ranks with one label may be interchanged.

    >>> selection_network((None, "largest"))
    (Comparator(i=0, j=1, low=False, high=True),)
    """
    # Backwards: a wire that nothing reads needs no comparator, and neither do two that end as one label.
    read = list(labels)
    kept: list[Comparator] = []
    for i, j in reversed(pairwise_network(len(labels))):
        if read[i] == read[j]:
            continue
        kept.append(Comparator(i, j, read[i] is not None, read[j] is not None))
        read[i], read[j] = object(), object()
    return tuple(reversed(kept))
