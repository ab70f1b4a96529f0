"""Vectors that do not fit into memory, as their owner hands them over: block of columns by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class InBlocks:
    """n vectors of d coordinates, ``shape``, that come as blocks ``(n, c)`` of neighbouring columns.

    ``make`` is called for every read (one or two for most rules) and returns the blocks, each a torch, NumPy
    or JAX array, from the first column to the last, the same each time. Only one is held at once. With
    ``pivot``, every block has one more row, the last: the trusted vector, of rules that take one.

    >>> import torch
    >>> from varangian.aggregators import Median
    >>> halves = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [9e9, 9e9, 9e9]]).split(2, dim=1)
    >>> Median(f=1)(InBlocks(lambda: halves, shape=(3, 3)))
    tensor([4., 5., 6.])
    """

    make: Callable[[], Iterable[Any]]
    shape: tuple[int, ...]
    pivot: bool = False
