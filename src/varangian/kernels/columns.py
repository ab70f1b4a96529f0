"""Column programs: every coordinate by itself, the rows sorted by a comparator network."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST_NETWORK = 256


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


def sort_columns(values: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch n c"]:
    """Return every column in ascending order, as a new tensor."""
    n = values.shape[-2]
    if n > LONGEST_NETWORK:
        return values.sort(dim=-2).values
    wires = list(values.unbind(-2))
    for i, j in pairwise_network(n):
        wires[i], wires[j] = torch.minimum(wires[i], wires[j]), torch.maximum(wires[i], wires[j])
    return torch.stack(wires, dim=-2)


def middle(ordered: Float[Tensor, "*batch n c"], *, lower: bool = False) -> Float[Tensor, "*batch c"]:
    """Return the median of sorted columns: the mean of the two middle values when n is even, in float64."""
    n = ordered.shape[-2]
    low = ordered[..., (n - 1) // 2, :].double()
    return low if lower or n % 2 else (low + ordered[..., n // 2, :].double()) / 2


def mean_of_nearest(
    ordered: Float[Tensor, "*batch n c"], centre: Float[Tensor, "*batch c"], keep: int
) -> Float[Tensor, "*batch c"]:
    """Return the mean of the ``keep`` values nearest to ``centre``; of two as near, the lower is kept.

    Kept values are neighbours in sorted columns: start from the lowest ``keep`` and let the window slide
    up while the value that enters is strictly nearer than the one that leaves. No running sum: a huge
    value that has left must leave no rounding behind.
    """
    ordered = ordered.double()
    c = centre.double()
    wires = list(ordered.unbind(-2))
    kept = wires[:keep]
    for i in range(len(wires) - keep):
        slides = (wires[i + keep] - c).abs() < (wires[i] - c).abs()
        kept[i % keep] = torch.where(slides, wires[i + keep], kept[i % keep])
    return torch.stack(kept, dim=-2).mean(-2)
