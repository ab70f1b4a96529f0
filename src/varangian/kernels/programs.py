"""Column programs: which ranks of n values are read, and the straight line of arithmetic on them.

A program is written once, over any ``Arithmetic``: arrays on whatever device, or the registers of a
processor. Every back end does the same operations in the same order, in the working precision of the values,
so they agree to the bit, but for the sign of a zero. A mean is taken about a reference near the values: its
error is relative to how far they lie apart, not to their size, and values that are all equal are their mean
exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

V = TypeVar("V")

Ranks = tuple[int, ...]


class Arithmetic(ABC, Generic[V]):
    """What a back end can do with one number per column."""

    @abstractmethod
    def add(self, x: V, y: V) -> V:
        """Return x + y."""

    @abstractmethod
    def sub(self, x: V, y: V) -> V:
        """Return x - y."""

    @abstractmethod
    def divided(self, x: V, by: int) -> V:
        """Return x over a number."""

    @abstractmethod
    def sign(self, x: V) -> V:
        """Return 1, -1, or 0."""

    @abstractmethod
    def if_less(self, x: V, y: V, then: V, other: V) -> V:
        """Return ``then`` where x < y, ``other`` elsewhere."""

    def if_finite(self, x: V, other: V) -> V:
        """Return x, or NaN where the other is not finite."""
        return self.add(x, self.sub(other, other))

    def sum(self, values: Iterable[V]) -> V:
        """Return the sum, added up two by two; few values wait at a time, if they come one by one."""
        waiting: list[tuple[V, int]] = []
        for value in values:
            total, count = value, 1
            while waiting and waiting[-1][1] == count:
                total, count = self.add(waiting.pop()[0], total), 2 * count
            waiting.append((total, count))
        total, _ = waiting.pop()
        while waiting:
            total = self.add(waiting.pop()[0], total)
        return total


class Lazily(dict[int, V]):
    """Values that are made when they are first asked for."""

    def __init__(self, make: Callable[[int], V]) -> None:
        self.make = make

    def __missing__(self, place: int) -> V:
        self[place] = self.make(place)
        return self[place]


class Program(ABC):
    """A function of the n values of a column, in any order; a frozen dataclass of whole numbers."""

    @abstractmethod
    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return what each rank is read as: None if it is not; ranks with one label may be interchanged."""

    @abstractmethod
    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the result, given the ranks that are read; not finite if a sum on the way is too large."""


def headroom(n: int) -> float:
    """Return the power of two by which numbers are divided so that no sum of n differences is too large.

    What a program makes of a column may come out infinite or NaN though all values are finite. Then it is
    what comes of the values so divided, times the same, and no larger than the largest number.
    """
    return 2.0 ** (n.bit_length() + 1)


def _but(reference: int, ranks: range) -> Ranks:
    """Return all these but the reference, whose gap is zero; if none are left, the reference."""
    return tuple(rank for rank in ranks if rank != reference) or (reference,)


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
        middle = [ranks[place] for place in sorted(self._places(n))]
        return middle[0] if len(middle) == 1 else on.divided(on.sum(middle), 2)

    def reference(self, n: int) -> int:
        """Return the rank of the lower of what is in the middle."""
        return (n - 1) // 2

    def twice_above(self, total: Callable[[Ranks], V], n: int, on: Arithmetic[V]) -> V:
        """Return twice how far the middle lies above the reference, given how far ranks do in all."""
        return total((max(self._places(n)),))

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
        """Return the mean of what is kept, about one of it."""
        first = ranks[self.trim]

        def total(kept: Ranks) -> V:
            return on.sum(on.sub(ranks[rank], first) for rank in kept)

        return on.add(first, self._above(total, n, on))

    def reference(self, n: int) -> int:
        """Return a rank that is kept."""
        return self.trim

    def twice_above(self, total: Callable[[Ranks], V], n: int, on: Arithmetic[V]) -> V:
        """Return twice how far the mean lies above the reference, given how far ranks do in all."""
        above = self._above(total, n, on)
        return on.add(above, above)

    def _above(self, total: Callable[[Ranks], V], n: int, on: Arithmetic[V]) -> V:
        kept = _but(self.trim, range(self.trim, n - self.trim))
        return on.divided(total(kept), n - 2 * self.trim)


@dataclass(frozen=True)
class Nearest(Program):
    """The mean of all but ``drop`` values, those nearest to a centre; of two as near, the lower is kept.

    Kept values are neighbours in sorted columns: start from the lowest, and let the window slide up while the
    value that enters is strictly nearer than the one that leaves: where their gaps from a reference add up to
    less than twice that of the centre, which is never rounded to a number itself. So the two middle values of
    an even number are as near, and copies of them. What every window holds is added up once, for the centre,
    too, where its ranks are the same; but there is no running sum: a huge value that has left must leave no
    rounding behind.
    """

    drop: int
    centre: Middle | Trimmed

    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return a label of its own for what the window or the centre tells apart."""
        keep = n - self.drop
        around = self.centre.labels(n)
        return tuple(("kept", around[rank]) if self.drop <= rank < keep else rank for rank in range(n))

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the mean of the window, NaN if the values lie too far apart for their gaps to be added."""
        keep = n - self.drop
        middle = self.centre.reference(n)
        reference = ranks[middle]
        gaps = Lazily[V](lambda rank: on.sub(ranks[rank], reference))
        total = cache(lambda some: on.sum(gaps[rank] for rank in some))
        inner = total(_but(middle, range(self.drop, keep)))
        centre = self.centre.twice_above(total, n, on)
        window = [gaps[rank] for rank in range(min(self.drop, keep))]
        for low in range(self.drop):
            high = low + keep
            both = on.add(gaps[low], gaps[high])
            window[low % keep] = on.if_less(both, centre, gaps[high], window[low % keep])
        mean = on.add(reference, on.divided(on.sum([inner, *window]), keep))
        if not self.drop:
            return mean
        span = on.sub(gaps[n - 1], gaps[0])
        far = on.add(on.add(span, span), centre)
        return on.if_finite(mean, far)


@dataclass(frozen=True)
class SignSum(Program):
    """The sign of the sum of the signs."""

    def labels(self, n: int) -> tuple[Hashable, ...]:
        """Return one label for all."""
        return ("any",) * n

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        """Return the majority."""
        return on.sign(on.sum(on.sign(ranks[rank]) for rank in range(n)))
