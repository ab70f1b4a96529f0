"""The vectors of one call as the guard has read them: rows, and how a result is handed back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from varangian.errors import InputError
from varangian.kernels.rows import Rows, Segment
from varangian.kernels.streams import Source, Streamed


@dataclass(frozen=True, eq=False)
class Vectors:
    """The rows of one call, and how to hand a result back in the caller's own kind.

    ``restore`` takes one tensor per segment: ``(*batch, d)`` for a vector, and gives one vector back;
    ``restore_many`` takes ``(*batch, m, d)`` and gives m vectors back. Where there is a ``source``, the rows
    are read from it, part by part; ``outlined`` says that the segments then have but the right shape.
    ``pivoted`` says that a pivot comes with them. ``summed`` adds up what all holders of shards measured.
    """

    segments: tuple[Segment, ...]
    restore: Callable[[Sequence[Tensor]], Any]
    restore_many: Callable[[Sequence[Tensor]], Any]
    flatten_one: Callable[[Any], list[Tensor]]
    source: Source | None = None
    outlined: bool = False
    pivoted: bool = False
    summed: Callable[[Tensor], Tensor] | None = None

    def rows(self, extras: Sequence[Sequence[Tensor]], *, sanitise: bool) -> Rows:
        """Return the rows, to be read. Raises InputError for extras that lie on another device."""
        for part in (part for extra in extras for part in extra):
            if part.device != self.segments[0].sample.device:
                raise InputError(
                    f"A pivot or a state on {part.device} arrived for vectors on "
                    f"{self.segments[0].sample.device}; move it there with .to()."
                )
        if self.source is None:
            return Rows(self.segments, extras, sanitise=sanitise, summed=self.summed)
        rows = Streamed(self.source, self.segments[0], extras, sanitise=sanitise)
        rows.summed = self.summed
        return rows
