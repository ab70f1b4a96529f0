"""A recorded round: who sent a vector, and the vectors in blocks of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 2**21
"""Bytes of vectors that are in memory at once."""


@dataclass(frozen=True, eq=False)
class Round:
    """The vectors ``(m, d)`` of one round, as blocks ``(m, c)`` of neighbouring columns, from first to last.

    ``blocks`` can be called again, and gives the same; a block may be overwritten by the next. ``weights``
    are the clients', as they claim them; ``files`` what the round was read from.
    """

    name: str
    clients: tuple[str, ...]
    d: int
    blocks: Callable[[], Iterator[Tensor]]
    weights: tuple[float, ...] | None = None
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, name: str, vectors: Float[Tensor, "m d"], clients: tuple[str, ...] = ()) -> Round:
        """Return a round whose vectors are in memory.

        >>> len(Round.of("one", torch.zeros(3, 5)).clients)
        3
        """
        named = clients or tuple(f"client {i}" for i in range(len(vectors)))
        step = width(len(vectors), vectors.element_size())
        return cls(name, named, vectors.shape[-1], lambda: iter(vectors.split(step, dim=-1)))

    @property
    def m(self) -> int:
        """Return how many vectors there are."""
        return len(self.clients)

    def whole(self) -> Float[Tensor, "m d"]:
        """Return all vectors at once."""
        return torch.cat([block.clone() for block in self.blocks()], dim=-1)


def width(rows: int, itemsize: int) -> int:
    """Return how many columns a block may have."""
    return max(64, BLOCK // (max(1, rows) * itemsize))
