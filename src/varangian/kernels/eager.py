"""Column programs on arrays, one operation of a library at a time: any device, no compiler, the slow twin."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.networks import Comparator, selection_network
from varangian.kernels.programs import Arithmetic, Program, headroom
from varangian.kernels.rows import WORKING_DTYPES

LONGEST_NETWORK = 256
"""Rows above which sorting is less work than a network."""


def reduced(program: Program, values: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch c"]:
    """Return what a program makes of every column, in working precision, anew where sums are too large."""
    n = values.shape[-2]
    ranks = ordered(program.labels(n), values)
    made = program.value(ranks, n, Arrays())
    lost = ~made.isfinite()
    if lost.any():
        most, room = torch.finfo(made.dtype).max, headroom(n)
        again = program.value({rank: row / room for rank, row in ranks.items()}, n, Arrays())
        made = torch.where(lost, (again * room).clamp(-most, most), made)
    return made


def ordered(labels: tuple[Hashable, ...], values: Float[Tensor, "*batch n c"]) -> dict[int, Tensor]:
    """Return the values of every rank that the labels read, ``(*batch, c)`` each, in the working dtype."""
    values = values.detach().to(WORKING_DTYPES[values.dtype])
    if len(labels) > LONGEST_NETWORK:
        return dict(enumerate(values.sort(dim=-2).values.unbind(-2)))
    network, rows = selection_network(labels), list(values.unbind(-2))
    if values.device.type == "cpu":  # the same operations, but NumPy begins one in less time
        numbers = _through(network, [row.numpy() for row in rows], np.minimum, np.maximum, np.empty_like)
        return {rank: torch.from_numpy(row) for rank, row in numbers.items()}
    return _through(network, rows, torch.minimum, torch.maximum, torch.empty_like)


class Arrays(Arithmetic[Tensor]):
    """Tensors, on whatever device."""

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x + y."""
        return x + y

    def sub(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x - y."""
        return x - y

    def divided(self, x: Tensor, by: int) -> Tensor:
        """Return x over a number, a tensor there: on a card, PyTorch would multiply by one over a number."""
        return x / x.new_full((), by)

    def sign(self, x: Tensor) -> Tensor:
        """Return 1, -1, or 0."""
        return x.sign()

    def if_less(self, x: Tensor, y: Tensor, then: Tensor, other: Tensor) -> Tensor:
        """Return ``then`` where x < y, ``other`` elsewhere."""
        return torch.where(x < y, then, other)


def _through(
    network: Sequence[Comparator],
    wires: list[Any],
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
    return dict(enumerate(wires))
