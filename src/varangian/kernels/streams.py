"""Rows that are not in memory all at once: they come in blocks of columns, and again for every read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from varangian.errors import InputError, ShapeError
from varangian.kernels.memory import let_go
from varangian.kernels.rows import Rows, Segment

PIECE = 2**26
"""Bytes of a file that are in memory at once."""

Source = Callable[[], Iterator[Segment]]
"""Returns the blocks, from the first column to the last; the same ones each time."""


class Streamed(Rows):
    """n vectors whose blocks a source yields, one of which is held at a time.

    ``outline`` has their shape and dtype. An extra without any parts is the last row of every block.
    """

    def __init__(
        self,
        source: Source,
        outline: Segment,
        extras: Sequence[Sequence[Tensor]] = (),
        *,
        sanitise: bool = True,
    ) -> None:
        super().__init__([outline], extras, sanitise=sanitise)
        self.source = source

    def pieces(self, outputs: Sequence[Tensor] = ()) -> Iterator[tuple[Rows, list[Tensor]]]:
        """Read every block once, as rows of its own, each with its part of the outputs.

        It is no pass if from every block only some columns are taken.
        """
        self.reads += 1
        start, again = 0, -1
        for block in self.source():
            stop = start + block.width
            if stop > self.d:
                raise ShapeError(f"The blocks go on after {self.d} coordinates, to {stop} at least.")
            beside = [[part[..., start:stop] for part in extra] or [_last(block)] for extra in self.extras]
            vectors = block if block.rows == self.n else Segment(block.sample[: self.n])
            piece = Rows([vectors], beside, sanitise=self.sanitise, first=start)
            piece.reads = self.reads - 1
            yield piece, [output[..., start:stop] for output in outputs]
            self.nonfinite += piece.nonfinite
            again = max(again, piece.reads - self.reads)
            start = stop
        if start != self.d:
            raise ShapeError(
                f"The blocks ended after {start} of {self.d} coordinates. They are asked for at every read, "
                "and must begin anew each time."
            )
        self.reads += again


def _last(block: Segment) -> Tensor:
    """Return the vector that comes with a block, which rules trust. Raises InputError."""
    vector = block.sample[-1]
    if not bool(vector.isfinite().all()):
        raise InputError("The pivot, which is the last row of every block, holds a NaN or an infinite value.")
    return vector


def of_file(vectors: Segment, origins: Sequence[Any]) -> Source | None:
    """Return the source of vectors of which some are memory-mapped: their pages are let go of once read.

    None if none of them is.
    """
    if not any(isinstance(origin, np.memmap) for origin in origins):
        return None
    lines = list(vectors.vectors)
    mapped = [line for line, origin in zip(lines, origins, strict=True) if is_mapped(origin, line)]
    if not mapped:
        return None
    step = max(1, PIECE // (len(lines) * vectors.sample.element_size()))

    def blocks() -> Iterator[Segment]:
        for start in range(0, vectors.width, step):
            stop = min(start + step, vectors.width)
            yield vectors.part(start, stop)
            for line in mapped:  # the system also maps what lies around, some of the piece before
                let_go(line[max(0, start - step) : stop])

    return blocks


def is_mapped(origin: Any, line: Tensor) -> bool:
    """Tell whether a line is that of an array on disk, and what was changed of it is there as well.

    A copy of such an array is of the same class, but has no mode; or it was made for the line, and lies
    elsewhere. The memory of a copy is all there is of it.
    """
    if not isinstance(origin, np.memmap) or origin.mode not in ("r", "r+", "w+"):
        return False
    far = sum((size - 1) * stride for size, stride in zip(origin.shape, origin.strides, strict=True))
    return bool(0 <= line.data_ptr() - origin.ctypes.data < far + origin.itemsize)
