"""Column programs: every coordinate by itself, the rows sorted by a comparator network.

Liars often send copies of one vector. Rows at the end that are equal in a whole block are sorted as one:
among sorted values s, c copies of v put the larger of s[r-c] and the lesser of v and s[r] at rank r.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.networks import Comparator, selection_network

LONGEST_NETWORK = 256


def sort_columns(
    values: Float[Tensor, "*batch n c"], start: int = 0, stop: int | None = None
) -> Float[Tensor, "*batch k c"]:
    """Return ranks ``start`` to ``stop`` (excluded; all if not said) of every column, in ascending order."""
    stop = values.shape[-2] if stop is None else stop
    return torch.stack(_ranks(values, start, stop, ordered=True), dim=-2)


def median(values: Float[Tensor, "*batch n c"], *, lower: bool = False) -> Float[Tensor, "*batch c"]:
    """Return the median of every column: the mean of the two middle values when n is even, in float64."""
    n = values.shape[-2]
    stop = (n + 1) // 2 if lower else n // 2 + 1
    return middle_of([rank.double() for rank in _ranks(values, (n - 1) // 2, stop, ordered=True)])


def middle(ordered: Float[Tensor, "*batch n c"], *, lower: bool = False) -> Float[Tensor, "*batch c"]:
    """Return the median of sorted columns, as ``median`` does."""
    n = ordered.shape[-2]
    places = ((n - 1) // 2,) if lower else ((n - 1) // 2, n // 2)
    return middle_of([ordered[..., place, :].double() for place in places])


def middle_of(ranks: list[Float[Tensor, "*batch c"]]) -> Float[Tensor, "*batch c"]:
    """Return the mean of the first and the last of one or two middle ranks."""
    return ranks[0] if len(ranks) == 1 else (ranks[0] + ranks[-1]) / 2


def trimmed_mean(values: Float[Tensor, "*batch n c"], trim: int) -> Float[Tensor, "*batch c"]:
    """Return the mean of every column without its ``trim`` least and ``trim`` largest values, in float64."""
    kept = _ranks(values, trim, values.shape[-2] - trim, ordered=False)
    total = kept[0].double()
    for rank in kept[1:]:
        total += rank
    return total / len(kept)


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


def copies_at_end(values: Float[Tensor, "*batch n c"]) -> int:
    """Return how many rows at the end equal the last one in every column, itself included.

    >>> copies_at_end(torch.tensor([[1.0], [3.0], [3.0]]))
    2
    """
    last, n = values[..., -1, :], values.shape[-2]
    count = 1
    while count < n and torch.equal(values[..., n - 1 - count, :], last):
        count += 1
    return count


def _ranks(values: Tensor, start: int, stop: int, *, ordered: bool) -> list[Tensor]:
    """Return ranks ``start`` to ``stop`` of every column as tensors of their own."""
    n = values.shape[-2]
    ranks = range(start, stop)
    copies = copies_at_end(values)
    if copies == 1:
        chosen = _select(values, frozenset(ranks), ordered=ordered)
        return [chosen[rank] for rank in ranks]
    others, copied = n - copies, values[..., -1, :]
    needed = {place for rank in ranks for place in (rank - copies, rank) if 0 <= place < others}
    found = _select(values[..., :others, :], frozenset(needed), ordered=True)
    merged = []
    for rank in ranks:
        value = torch.minimum(copied, found[rank]) if rank < others else copied
        merged.append(torch.maximum(value, found[rank - copies]) if rank >= copies else value.clone())
    return merged


def _select(values: Tensor, ranks: frozenset[int], *, ordered: bool) -> dict[int, Tensor]:
    """Return some ranks of every column, by rank."""
    n = values.shape[-2]
    if n > LONGEST_NETWORK:
        wires = list(values.sort(dim=-2).values.unbind(-2))
        return {rank: wires[rank] for rank in ranks}
    network = selection_network(n, ranks, ordered=ordered)
    if values.device.type != "cpu":
        return _through(
            network, list(values.unbind(-2)), ranks, torch.minimum, torch.maximum, torch.empty_like
        )
    # The same operations, but NumPy begins one in less time.
    rows = [row.numpy() for row in values.unbind(-2)]
    chosen = _through(network, rows, ranks, np.minimum, np.maximum, np.empty_like)
    return {rank: torch.from_numpy(row) for rank, row in chosen.items()}


def _through(
    network: Sequence[Comparator],
    wires: list[Any],
    ranks: frozenset[int],
    least_of: Callable[..., Any],
    most_of: Callable[..., Any],
    room: Callable[[Any], Any],
) -> dict[int, Any]:
    """Send values through a network; what came in is only read, and what is made is used again."""
    spare: list[Any] = []
    ours = [False] * len(wires)
    for i, j, low, high in network:
        one, other = wires[i], wires[j]
        if low:
            wires[i] = least_of(one, other, out=spare.pop() if spare else room(one))
        if high:
            wires[j] = most_of(one, other, out=spare.pop() if spare else room(other))
        spare += [old for old, own in ((one, ours[i]), (other, ours[j])) if own]
        ours[i], ours[j] = low, high
    return {rank: wires[rank] if ours[rank] else wires[rank] + 0 for rank in ranks}
