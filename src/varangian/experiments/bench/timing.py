"""Two clocks, and rounds in which the candidates take turns, so that a busy minute is everyone's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

REST = 0.003
"""Seconds between candidates: threads that wait by turning round would be on the next one's clock."""
MOST_ROUNDS = 25


class Spent(NamedTuple):
    """Seconds on the wall, and of all cores."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Times:
    """What one candidate took, round by round."""

    rounds: tuple[Spent, ...]

    @property
    def wall(self) -> float:
        """Return the median on the wall."""
        return statistics.median(spent.wall for spent in self.rounds)

    @property
    def cpu(self) -> float:
        """Return the median of all cores."""
        return statistics.median(spent.cpu for spent in self.rounds)

    def over(self, other: Times) -> Spent:
        """Return how many times as long as another this took: the median over the rounds they share.

        >>> Times((Spent(2.0, 4.0), Spent(6.0, 6.0))).over(Times((Spent(1.0, 2.0), Spent(3.0, 2.0))))
        Spent(wall=2.0, cpu=2.5)
        """
        pairs = list(zip(self.rounds, other.rounds, strict=False))
        return Spent(
            statistics.median(mine.wall / its.wall for mine, its in pairs),
            statistics.median(mine.cpu / max(its.cpu, 1e-9) for mine, its in pairs),
        )


def timed(work: Callable[[], object]) -> Spent:
    """Return what some work takes."""
    time.sleep(REST)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def alternate(works: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Times]:
    """Return the times of all works, which take turns for so many seconds; each is done at least once."""
    spent: dict[str, list[Spent]] = {name: [] for name in works}
    names, end = list(works), time.perf_counter() + seconds
    for _ in range(MOST_ROUNDS):
        for name in names:
            spent[name].append(timed(works[name]))
        names.reverse()
        if time.perf_counter() > end:
            break
    return {name: Times(tuple(rounds)) for name, rounds in spent.items()}
