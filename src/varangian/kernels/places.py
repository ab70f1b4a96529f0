"""Where rows and the extras beside them lie in memory, for compiled code that reads them there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from varangian.kernels.compiled.jit import available
from varangian.kernels.compiled.tasks import Stretch, addresses, name_of
from varangian.kernels.compiled.tiles import Step, take
from varangian.kernels.rows import WORKING_DTYPES, Rows


def readable(rows: Rows) -> bool:
    """Tell whether compiled code can read these rows, and the extras beside them, where they lie."""
    return rows.adjacent and available() and all(_lies_alike(rows, extra) for extra in _extras(rows))


class Places:
    """Where the rows, the extras after them, and last the origin begin; the origin is nowhere."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.extras = [[part.contiguous() for part in extra] for extra in _extras(rows)]  # alive while read
        self.of_segments = [self._of(rows, segment) for segment in range(len(rows.segments))]

    def load(
        self, part: Stretch, chosen: NDArray[np.intp], kind: str, tile: int, *, asks: bool = True
    ) -> tuple[Step, NDArray[np.int64]]:
        """Return the step that takes some of them into a tile, and where it counts what is not finite.

        What it takes them from is the first of what it is given. Unless it ``asks`` memory for the next tile,
        another step should.
        """
        where, counts = self.of(part, chosen), np.zeros(len(chosen), dtype=np.int64)
        code = take(self.element(part), kind, sanitise=self.rows.sanitise, asks=asks)
        return Step.of(code, where, len(where), tile, counts), counts

    def of(self, part: Stretch, chosen: NDArray[np.intp]) -> NDArray[np.uint64]:
        """Return where some of them begin."""
        where: NDArray[np.uint64] = self.of_segments[part.segment][part.run][chosen]
        return where

    def element(self, part: Stretch) -> str:
        """Return the name of their dtype."""
        return name_of(self.rows.segments[part.segment].sample.dtype)

    def found(self, chosen: NDArray[np.intp], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the counts of each of the rows."""
        found = np.zeros(self.rows.n + len(self.extras) + 1, dtype=np.int64)
        found[chosen] = counts
        return found[: self.rows.n]

    def _of(self, rows: Rows, segment: int) -> NDArray[np.uint64]:
        """Return the addresses ``(runs, k)``."""
        below = [addresses(extra[segment].expand(*rows.batch, -1)[..., None, :]) for extra in self.extras]
        origin = np.zeros((rows.batch_size, 1), dtype=np.uint64)
        return np.concatenate([addresses(rows.segments[segment].vectors), *below, origin], axis=1)


def _extras(rows: Rows) -> list[list[Tensor]]:
    """Return the extras, in the dtype of the segment if that is the one it is worked with in."""
    return [
        [
            part.to(segment.sample.dtype) if segment.sample.dtype in WORKING_DTYPES.values() else part
            for part, segment in zip(extra, rows.segments, strict=True)
        ]
        for extra in rows.extras
    ]


def _lies_alike(rows: Rows, extra: Sequence[Tensor]) -> bool:
    """Tell whether a vector's numbers are stored as those of the rows are."""
    return all(
        part.dtype == segment.sample.dtype and part.device.type == "cpu"
        for part, segment in zip(extra, rows.segments, strict=True)
    )
