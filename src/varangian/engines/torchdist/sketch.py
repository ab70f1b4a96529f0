"""A gradient in 160 bytes: norm, peak, random projections, what is not finite, a fingerprint."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.kernels.glances import glance

BLOCK = 1024
"""Values of which one norm and one signed sum are kept."""
PROJECTIONS = 16
BROKEN, NORM, PEAK, PRINT = range(4)
"""Where a sketch holds the number of blocks without a finite norm, the norm, the largest norm of a block, and
the fingerprint; the projections follow."""
NUMBERS = 4 + PROJECTIONS
PRIME, EXACT = np.uint32(2654435761), np.uint64(0xFFFFFFFFFF)
"""What spreads the bits of a fingerprint, and how many of them a float64 surely holds."""

Layout = tuple[tuple[int, int], ...]
"""Place and blocks of every bucket."""


class Sketch:
    """Sketches a gradient as its buckets come; all ranks with the same seed draw the same signs.

    Cost        one pass through the gradient
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._signs: dict[torch.device, Tensor] = {}
        self._table: tuple[Layout, Tensor, NDArray[np.uint32]] | None = None
        self._seen: list[tuple[int, Tensor, Tensor]] = []

    def add(self, flat: Float[Tensor, "d"], place: int, factor: float = 1.0) -> None:
        """Take the bucket at ``place``; then multiply it by the factor, in the same pass."""
        if flat.device not in self._signs:
            self._signs[flat.device] = self._drawn(-1, BLOCK, rows=1)[0].to(flat.device)
        self._seen.append((place, *glance(flat, self._signs[flat.device], factor)))

    def taken(self) -> Float[Tensor, "numbers"]:
        """Return the sketch of all buckets since the last call."""
        seen, self._seen = self._seen, []
        places, every_norm, every_sum = zip(*seen, strict=True)
        sums = torch.cat(every_sum)
        # On few numbers NumPy is faster than PyTorch, if it makes no large array.
        norms = torch.cat(every_norm).cpu().numpy()
        signs, order = self._tables(tuple(zip(places, map(len, every_norm), strict=True)), sums.device)
        made = np.empty(NUMBERS)
        made[PEAK] = norms.max()
        made[BROKEN] = 0 if np.isfinite(made[PEAK]) else np.count_nonzero(~np.isfinite(norms))
        made[NORM] = np.sqrt(np.einsum("i,i->", norms, norms, dtype=np.float64))
        made[PRINT] = (norms.view(np.uint32) * order).sum(dtype=np.uint64) & EXACT
        made[PRINT + 1 :] = torch.mv(signs, sums).cpu().numpy()
        return torch.from_numpy(made)

    def _tables(self, layout: Layout, device: torch.device) -> tuple[Tensor, NDArray[np.uint32]]:
        """Return the signs of every block, and a factor each for the fingerprint."""
        if self._table is None or self._table[0] != layout or self._table[1].device != device:
            signs = torch.cat([self._drawn(place, count) for place, count in layout], dim=1)
            order = np.arange(1, 2 * signs.shape[1], 2, dtype=np.uint32) * PRIME
            self._table = layout, signs.to(device), order
        return self._table[1:]

    def _drawn(self, place: int, count: int, rows: int = PROJECTIONS) -> Tensor:
        generator = self.stream.at("signs", place=place, count=count).generator()
        return torch.randint(0, 2, (rows, count), generator=generator) * 2.0 - 1
