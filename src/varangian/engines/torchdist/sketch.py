"""A gradient in 160 bytes: norm, peak, random projections, what is not finite, a fingerprint."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.randomness import Stream

BLOCK = 1024
"""Values of which one norm and one signed sum are kept."""
SLAB = 1 << 18
"""Values that are looked at twice before the cache forgets them."""
PROJECTIONS = 16
BROKEN, NORM, PEAK, PRINT = range(4)
"""Where a sketch holds the number of blocks without a finite norm, the norm, the largest norm of a block, and
the fingerprint; the projections follow."""
NUMBERS = 4 + PROJECTIONS


class Sketch:
    """Sketches a gradient as its buckets come; all ranks with the same seed draw the same signs.

    Cost        two passes through a bucket, the second in the cache
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._signs: dict[tuple[int, int, torch.device], Tensor] = {}
        self._parts: list[Tensor] = []

    def add(self, flat: Float[Tensor, "d"], place: int) -> None:
        """Take the bucket at ``place``."""
        norms, sums = _blocks(flat, self._drawn(-1, BLOCK, flat.device)[0])
        self._parts.append(self._made(norms, sums, place))

    def taken(self) -> Float[Tensor, "numbers"]:
        """Return the sketch of all buckets since the last call."""
        parts, self._parts = torch.stack(self._parts), []
        whole = parts.sum(0)
        whole[NORM] = parts[:, NORM].square().sum().sqrt()
        whole[PEAK] = parts[:, PEAK].amax()
        return whole

    def _made(self, norms: Tensor, sums: Tensor, place: int) -> Tensor:
        made = norms.new_empty(NUMBERS, dtype=torch.float64)
        made[BROKEN] = norms.isfinite().logical_not().sum()
        made[NORM] = norms.double().square().sum().sqrt()
        made[PEAK] = norms.amax()
        bits = norms.view(torch.int32).long()
        order = torch.arange(1, len(norms) + 1, device=norms.device) * 2654435761 + place
        made[PRINT] = (bits * order).sum() & 0xFFFFFFFFFF  # so that the sum over buckets is exact, too
        made[4:] = self._drawn(place, len(sums), sums.device) @ sums
        return made

    def _drawn(self, place: int, count: int, device: torch.device) -> Tensor:
        key = place, count, device
        if key not in self._signs:
            generator = self.stream.at("signs", place=place, count=count).generator()
            drawn = torch.randint(0, 2, (PROJECTIONS, count), generator=generator) * 2.0 - 1
            self._signs[key] = drawn.to(device)
        return self._signs[key]


def _blocks(flat: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Return norm and signed sum of every block; the last one may be short."""
    whole = len(flat) // BLOCK * BLOCK
    norms, sums = [], []
    for slab in flat[:whole].split(SLAB):
        block = slab.view(-1, BLOCK).float()
        norms.append(torch.linalg.vector_norm(block, dim=1))
        sums.append(block @ signs)
    rest = flat[whole:].float()
    norms.append(torch.linalg.vector_norm(rest, dim=0, keepdim=True))
    sums.append((rest @ signs[: len(rest)])[None])
    return torch.cat(norms), torch.cat(sums)
