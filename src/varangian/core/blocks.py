"""Vectors that do not fit into memory, as their owner hands them over: block of columns by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from varangian.errors import InputError, ShapeError


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

    def blocks(self) -> Iterator[Any]:
        """Return the blocks from the first on. Raises InputError where ``make`` makes none."""
        return iter(self._made())

    def first(self) -> Any:
        """Return the first block. Raises InputError where there is none."""
        for block in self.blocks():
            return block
        raise InputError("InBlocks(make) returned no blocks.")

    def checked_shape(self) -> tuple[int, int]:
        """Return n and d. Raises ShapeError."""
        try:
            n, d = self.shape
            if min(int(n), int(d)) >= 1 and (int(n), int(d)) == (n, d):
                return int(n), int(d)
        except (TypeError, ValueError):
            pass
        raise ShapeError(
            f"InBlocks(shape={self.shape!r}): the shape is (n, d), two whole numbers of at least 1."
        )

    def _made(self) -> Iterable[Any]:
        if not callable(self.make):
            raise InputError(
                f"InBlocks(make) received a {type(self.make).__name__}; make is a function that returns the "
                "blocks at every call, for instance lambda: blocks."
            )
        made = self.make()
        try:
            iter(made)
        except TypeError:
            raise InputError(
                f"InBlocks(make) returned a {type(made).__name__}; it must return a list or an iterator of "
                "blocks."
            ) from None
        return made
