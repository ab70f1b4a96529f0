"""A gradient in 160 bytes: norm, peak, random projections, what is not finite, a fingerprint."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.kernels.glances import glance
from varangian.kernels.tallies import tally

BLOCK = 1024
"""Values of which one norm and one signed sum are kept."""

Layout = tuple[tuple[int, int], ...]
"""Place and blocks of every part of the gradient."""


class Sketch:
    """Sketches a gradient as its parts come; all ranks with the same seed draw the same signs.

    Cost        one pass through the gradient
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.signs = torch.randint(0, 2, (BLOCK,), generator=self._generator(-1, BLOCK)) * 2.0 - 1
        self._there: dict[torch.device, Tensor] = {self.signs.device: self.signs}
        self._words: tuple[Layout, Int16[Tensor, "blocks"]] | None = None
        self._seen: list[tuple[int, Tensor, Tensor]] = []

    def add(self, flat: Float[Tensor, "d"], place: int, factor: float = 1.0) -> None:
        """Take the bucket at ``place``; then multiply it by the factor, in the same pass."""
        if flat.device not in self._there:
            self._there[flat.device] = self.signs.to(flat.device)
        self._seen.append((place, *glance(flat, self._there[flat.device], factor)))

    def taken(self) -> Float[Tensor, "20"]:
        """Return the sketch of all buckets since the last call."""
        seen, self._seen = self._seen, []
        places, norms, sums = zip(*seen, strict=True)
        layout = tuple(zip(places, map(len, norms), strict=True))
        return self.of(layout, torch.cat(norms).cpu(), torch.cat(sums).cpu())

    def of(
        self, layout: Layout, norms: Float[Tensor, "blocks"], sums: Float[Tensor, "blocks"]
    ) -> Float[Tensor, "20"]:
        """Return the sketch of a gradient, of whose blocks one has norms and signed sums."""
        if self._words is None or self._words[0] != layout:
            self._words = layout, torch.cat([self._drawn(*part) for part in layout])
        return tally(norms, sums, self._words[1])

    def _drawn(self, place: int, count: int) -> Int16[Tensor, "count"]:
        """Draw a bit for every block and projection."""
        words = torch.randint(-(1 << 15), 1 << 15, (count,), generator=self._generator(place, count))
        return words.to(torch.int16)

    def _generator(self, place: int, count: int) -> torch.Generator:
        return self.stream.at("signs", place=place, count=count).generator()
