"""Many histories at once, on several processes."""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from varangian.engines.network.histories.broken import Broken
from varangian.engines.network.histories.history import history

BATCH = 250


@dataclass
class Tally:
    """What came of several histories of a protocol.

    ``broken`` holds seeds with what broke; ``sums`` holds, for each quantity of ``Outcome``, how many values
    there were, their sum and the greatest.
    """

    protocol: str
    count: int = 0
    sent: int = 0
    broken: dict[int, str] = field(default_factory=dict)
    injected: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    sums: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        both = Tally(self.protocol, self.count + other.count, self.sent + other.sent)
        both.broken = self.broken | other.broken
        both.injected, both.refused = self.injected + other.injected, self.refused + other.refused
        for name in {*self.sums, *other.sums}:
            (a, b, c), (x, y, z) = self.sums.get(name, NONE), other.sums.get(name, NONE)
            both.sums[name] = (a + x, b + y, max(c, z))
        return both

    def mean(self, name: str) -> float:
        """Return the mean of a quantity, NaN if there was none."""
        values, total, _ = self.sums.get(name, NONE)
        return total / values if values else float("nan")

    def judge(self) -> None:
        """Hold the means of many histories to what is true of no single one.

        Gathers bring honest servers closer: less than half of the spread is left. Filters do not reject
        honest servers for ever: workers need not ask nearly all servers.

        Raises Broken.
        """
        if self.mean("gathered") > 0.5:
            raise Broken("contracts", f"gathers left {self.mean('gathered'):.2f} of the spread in the mean")
        if self.mean("asked") > 0.85:
            raise Broken("rejects", f"workers asked {self.mean('asked'):.2f} of the servers in the mean")


NONE = (0, 0.0, 0.0)


def tally(protocol: str, first: int, many: int) -> Tally:
    """Play the histories of the seeds from ``first`` on. What is broken is told, not raised."""
    whole = Tally(protocol, many)
    for seed in range(first, first + many):
        try:
            outcome = history(protocol, seed)
        except Broken as broken:
            whole.broken[seed] = str(broken)
            continue
        except Exception as error:
            whole.broken[seed] = f"no error may escape: {error!r}"
            continue
        whole.sent += outcome.sent
        whole.injected.update(outcome.injected)
        whole.refused.update(outcome.refused)
        for name in ("left", "gathered", "asked"):
            values: list[float] = getattr(outcome, name)
            some, total, most = whole.sums.get(name, NONE)
            if values:
                whole.sums[name] = (some + len(values), total + sum(values), max(most, *values))
    return whole


def many(protocol: str, seeds: int, first: int = 0, jobs: int = 1) -> Iterator[Tally]:
    """Yield the tallies of batches of seeds as they are done, in the order of the seeds."""
    starts = islice(count(first, BATCH), (seeds + BATCH - 1) // BATCH)
    batches = [(protocol, start, min(BATCH, first + seeds - start)) for start in starts]
    jobs = min(jobs, len(batches))
    if jobs <= 1:
        yield from (_batch(one) for one in batches)
        return
    with multiprocessing.get_context("forkserver").Pool(jobs) as pool:
        yield from pool.imap(_batch, batches)


def _batch(one: tuple[str, int, int]) -> Tally:
    # Nodes and what they consist of refer to each other: it is cheaper to collect them all together.
    gc.disable()
    try:
        return tally(*one)
    finally:
        gc.enable()
        gc.collect()
