"""Column programs: which ranks of n values are read, and the straight line of arithmetic on them.

A program is written once, over any ``Arithmetic``: arrays on whatever device, or the registers of a
processor. Every back end does the same operations in the same order, so they agree to the bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


class Arithmetic(ABC, Generic[V]):
    """What a back end can do with one number per column."""

    @abstractmethod
    def widened(self, x: V) -> V:
        """Return x in float64."""

    @abstractmethod
    def add(self, x: V, y: V) -> V:
        """Return x + y."""

    @abstractmethod
    def divided(self, x: V, by: int) -> V:
        """Return x over a number."""

    @abstractmethod
    def sign(self, x: V) -> V:
        """Return 1, -1, or 0."""

    @abstractmethod
    def if_less(self, x: V, y: V, then: V, other: V) -> V:
        """Return ``then`` where x < y, ``other`` elsewhere."""

    def sum(self, values: Sequence[V]) -> V:
        """Return the sum, added up two by two."""
        left = list(values)
        while len(left) > 1:
            pairs = [self.add(x, y) for x, y in zip(left[::2], left[1::2], strict=False)]
            left = pairs + left[len(left) - len(left) % 2 :]
        return left[0]


class Program(ABC):
    """A function of the n values of a column, in any order; a frozen dataclass of whole numbers."""

    @abstractmethod
    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return what each rank is read as: None if it is not; ranks with one label may be interchanged."""

    @abstractmethod
    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the result, in float64, given the ranks that are read."""


@dataclass(frozen=True)
class Middle(Program):
    """The median: of an even number the mean of the two middle values, or the lower of them."""

    lower: bool = False

    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return one label for the one or two in the middle."""
        places = self._places(n)
        return tuple("middle" if rank in places else None for rank in range(n))

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the middle."""
        middle = [on.widened(ranks[place]) for place in sorted(self._places(n))]
        return middle[0] if len(middle) == 1 else on.divided(on.sum(middle), 2)

    def _places(self, n: int) -> set[int]:
        return {(n - 1) // 2, (n - 1) // 2 if self.lower else n // 2}


@dataclass(frozen=True)
class Trimmed(Program):
    """The mean without the ``trim`` least and the ``trim`` largest values."""

    trim: int

    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return one label for all that is kept."""
        return tuple("kept" if self.trim <= rank < n - self.trim else None for rank in range(n))

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the mean of what is kept."""
        kept = [on.widened(ranks[rank]) for rank in range(self.trim, n - self.trim)]
        return on.divided(on.sum(kept), len(kept))


@dataclass(frozen=True)
class Nearest(Program):
    """The mean of all but ``drop`` values, those nearest to a centre; of two as near, the lower is kept.

    Kept values are neighbours in sorted columns: start from the lowest, and let the window slide up while the
    value that enters is strictly nearer than the one that leaves: where their sum is below twice the centre
    (no number may be as large as half of float64's largest). No running sum: a huge value that has left must
    leave no rounding behind.
    """

    drop: int
    centre: Middle | Trimmed

    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return a label of its own for what the window or the centre tells apart."""
        keep = n - self.drop
        around = self.centre.labels(n)
        return tuple(("kept", around[rank]) if self.drop <= rank < keep else rank for rank in range(n))

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the mean of the window."""
        keep = n - self.drop
        centre = self.centre.value(ranks, n, on)
        wide = [on.widened(ranks[rank]) for rank in range(n)]
        window = wide[:keep]
        twice = on.add(centre, centre)
        for low in range(self.drop):
            high = low + keep
            ends = on.add(wide[low], wide[high])
            window[low % keep] = on.if_less(ends, twice, wide[high], window[low % keep])
        return on.divided(on.sum(window), keep)


@dataclass(frozen=True)
class SignSum(Program):
    """The sign of the sum of the signs."""

    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return one label for all."""
        return ("any",) * n

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the majority."""
        return on.sign(on.sum([on.sign(on.widened(ranks[rank])) for rank in range(n)]))
