"""One read of a round -> the squared distances between everything an attack may be made of.

The base points of a round are its vectors, a few made of them coordinate by coordinate, and the origin. An
attacker's vector is an affine combination of base points; what a rule makes of it can be planned on the
table of their distances, without another look at a coordinate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.audit.recording.rounds import Round
from varangian.core.blocks import InBlocks
from varangian.core.inputs import read
from varangian.core.moments import Moments
from varangian.core.needs import Pivot, Reads
from varangian.core.points import Points
from varangian.core.stages import CoordinateRule, Stage
from varangian.errors import DataError
from varangian.kernels.lanes import lanes_instead_of_threads

EXTRAS = ("deviation", "signs", "sides")
"""The points made coordinate by coordinate; the origin comes after them."""
SKETCH = 2**14
"""Columns that are kept of a round, evenly spaced, to judge rules that decide by columns."""
TILE = 2**15
"""Columns of which the points are made, and measured, at once: what lies between stays in the cache."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What an audit keeps of a round: distances between its k base points, and a sketch of the coordinates.

    The sketch has the base points but the origin. ``last`` is the stage that the edges were chosen for, and
    ``b`` for how many liars.
    """

    round: Round
    table: Float[Tensor, "k k"]
    sketch: Float[Tensor, "l s"]
    last: Stage
    b: int

    @property
    def m(self) -> int:
        """Return how many vectors the round has."""
        return self.round.m

    def blocks(self) -> Iterator[Float[Tensor, "l c"]]:
        """Read the round again, as tiles of the base points but the origin."""
        return based(self.round, self.last, self.b)

    @property
    def k(self) -> int:
        """Return how many base points there are."""
        return len(self.table)

    @property
    def stretch(self) -> float:
        """Return how many coordinates each column of the sketch stands for."""
        return self.round.d / self.sketch.shape[-1]

    def place(self, name: str) -> int:
        """Return the place of a base point that is no vector of the round."""
        return self.m + (*EXTRAS, "origin").index(name)


@lanes_instead_of_threads()  # points are made by many small operations
def measure(seen: Round, rule: Stage, b: int) -> Measured:
    """Return what one read tells of a round, in which ``b`` are to attack a rule.

    Raises      DataError where a vector holds what is not finite, or all vectors are one
    """
    last, points = rule.stages()[-1], seen.m + len(EXTRAS)
    every = -(-seen.d // SKETCH)
    # All of it at once: what is kept of every tile by itself would lie between what is let go of again.
    sketch = torch.empty(points, -(-seen.d // every), dtype=torch.float64)

    def blocks() -> Iterator[Tensor]:
        start, kept = 0, sketch
        for block in based(seen, last, b):
            chosen = block[:, -start % every :: every]
            kept[:, : chosen.shape[-1]] = chosen
            kept = kept[:, chosen.shape[-1] :]
            start += block.shape[-1]
            yield block

    rows = read(InBlocks(blocks, (points, seen.d))).rows([], sanitise=True)
    table = Points(points, (Pivot.ORIGIN,), rows=rows).table(Reads.PAIRS, (Pivot.ORIGIN,))
    _refuse_nonfinite(seen, rows.nonfinite[: seen.m])
    if not bool(table[: seen.m, : seen.m].any()):
        raise DataError(
            f"Round {seen.name}: all {seen.m} vectors are the same, so that there is no honest spread to "
            "hold an error against. Record what the clients send, not what they receive."
        )
    return Measured(seen, table, sketch, last, b)


def based(seen: Round, last: Stage, b: int) -> Iterator[Float[Tensor, "l c"]]:
    """Yield a round with the points that are made of it below, tile by tile, each where the last one lay."""
    room = torch.empty(0)
    for block in seen.blocks():
        working = block.dtype if block.dtype in (torch.float32, torch.float64) else torch.float32
        for values in block.split(TILE, dim=-1):
            if room.shape[-1] < values.shape[-1]:
                room = torch.empty(seen.m + len(EXTRAS), values.shape[-1], dtype=working)
            made = room[:, : values.shape[-1]]
            made[: seen.m] = values
            made[seen.m :] = made_of(made[: seen.m], last, b)
            yield made


def made_of(values: Float[Tensor, "m c"], last: Stage, b: int) -> Float[Tensor, "3 c"]:
    """Return the extra points: the mean plus the deviation, plus its signs, and the worse edge.

    Signs are as long as the deviation in each coordinate.
    """
    moments = Moments.of(values)
    mean, deviation = moments.mean, moments.deviation
    return torch.stack([mean + deviation, mean + mean.sign() * deviation, _edge(values, mean, last, b)])


def _edge(values: Tensor, mean: Tensor, last: Stage, b: int) -> Tensor:
    """Return where ``b`` liars move each column furthest: to an edge of the honest range, or beyond it.

    Rules that do not decide by columns are not asked; liars then stand at the nearer edge.
    """
    low, high = values.amin(0), values.amax(0)
    if not isinstance(last, CoordinateRule) or last.missing or not b:
        return torch.where(mean - low > high - mean, high, low)
    width = high - low
    best, moved = high, torch.zeros_like(mean)
    sent = torch.cat([values, high.expand(b, -1)])
    for spot in (high, low, high + width, low - width):
        sent[len(values) :] = spot
        reached = (last(sent) - mean).abs_()
        best = torch.where(reached > moved, spot, best)
        torch.maximum(moved, reached, out=moved)
    return best


def _refuse_nonfinite(seen: Round, counts: Tensor) -> None:
    bad = [f"{seen.clients[i]} ({int(counts[i])})" for i in counts.nonzero().flatten().tolist()]
    if bad:
        raise DataError(
            f"Round {seen.name}: values that are not finite came from {', '.join(bad[:5])}. A rule reads "
            "them as zero, but no honest vector holds any: leave the client or the round out, or repair it."
        )
