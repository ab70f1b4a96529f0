"""From the sketches of all ranks to the ranks that compute wrong, at a stated rate of false alarms.

*Measures.* Norm, peak, and distance from the ranks' median in random projections are compared by
their logarithms: each is a deviation from the median over ranks, in units of a spread that is measured on the
last steps of all ranks. The spread is the smaller one of the two sides, since a wrong rank widens but one.

*Model of a clean run.* In these units a deviation z exceeds any c with probability at most exp(-1.5 (c - 1)),
and z, cut at 3, has E exp(z - 1.25) <= 1, whatever happened before. Gaussian deviations satisfy both with
room. The mean gradients of batches of 16 samples and more were seen to; ranks do not whose shards differ so
much that one stays farther out than a whole unit.

*Alarms.* A single step counts if its deviation is rarer than the rate allows. A slow fault counts by
cumulative sums of z - 1.25, floored at 0: by Wald, a climb begins and reaches h with probability at most
exp(-h) in each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from varangian.engines.torchdist.sketch import BROKEN, NORM, PEAK, PRINT

MEASURES = ("far from the others", "a high peak", "a long gradient", "a short gradient")
DECAY, CUT, ALLOWED = 1.5, 3.0, 1.25
"""How fast the chance of a deviation falls, where slow faults cut it, and what they forgive at every step."""
NORMAL = 0.6745
"""The median of the absolute value of a standard normal number."""
LEAST_SPREAD = 0.02
"""Ranks that always agree are given a spread of two percent."""


@dataclass(frozen=True)
class Fault:
    """A rank that computed wrong in a step, and what gave it away; ``size`` is in spreads, if known."""

    step: int
    rank: int
    sign: str
    size: float = math.inf

    def __str__(self) -> str:
        size = "" if math.isinf(self.size) else f" ({self.size:.1f} spreads)"
        return f"rank {self.rank}, step {self.step}: {self.sign}{size}"


class Detector:
    """Judges the sketches of one step after the other.

    ``rate`` is the expected number of false alarms per step, over all ranks and measures; half of it is for
    single steps, half for slow faults. Nothing is compared before ``warm`` steps were seen; values which are
    not finite, and gradients that repeat, need no comparison. The spread is that of ``window`` steps.
    """

    def __init__(self, n: int, rate: float, window: int = 200, warm: int = 20) -> None:
        self.n, self.warm = n, warm
        tests = math.log(len(MEASURES) * n / (rate / 2))
        self.threshold = 1 + tests / DECAY
        self.height = tests
        self.step = self._seen = 0
        self._past = np.full((3, window, n), np.nan)
        self._climbed = np.zeros((n, len(MEASURES)))
        self._prints = np.full(n, -1.0)

    def judge(self, sketches: Float[np.ndarray, "n numbers"]) -> list[Fault]:
        """Return the faults of this step, at most one for a rank."""
        step, self.step = self.step, self.step + 1
        sketches = sketches.astype(np.float64)
        sound = (sketches[:, BROKEN] == 0) & np.isfinite(sketches).all(1)
        found = {int(rank): Fault(step, int(rank), "values not finite") for rank in np.flatnonzero(~sound)}
        for rank, sign in self._repeated(sketches, sound):
            found.setdefault(rank, Fault(step, rank, sign))
            sound[rank] = False
        if sound.sum() >= 3:
            for fault in self._compared(step, sketches, sound):
                found.setdefault(fault.rank, fault)
        return sorted(found.values(), key=lambda fault: fault.rank)

    def _repeated(self, sketches: NDArray[np.float64], sound: NDArray[np.bool_]) -> list[tuple[int, str]]:
        """Return the ranks that send what they, or others before them, have sent."""
        prints = np.where(sound & (sketches[:, NORM] > 0), sketches[:, PRINT], np.nan)
        stale = prints == self._prints
        self._prints = prints
        found = [(int(rank), "the same gradient as a step ago") for rank in np.flatnonzero(stale)]
        if len(set(prints[sound])) > 1:
            for rank in range(1, self.n):
                (same,) = np.nonzero(prints[:rank] == prints[rank])
                if len(same):
                    found.append((rank, f"the same gradient as rank {same[0]}"))
        return [] if stale.all() else found

    def _compared(self, step: int, sketches: NDArray[np.float64], sound: NDArray[np.bool_]) -> list[Fault]:
        """Return who deviates from the others, in this step or for many."""
        measured = _logarithms(sketches[sound])
        raw = np.full((self.n, measured.shape[1]), np.nan)
        raw[sound] = measured - _median(measured)
        known = self.step > self.warm
        faults = []
        if known:
            deviations = raw / self._spreads()
            one_sided = np.column_stack([deviations, -deviations[:, 2]])
            one_sided = np.where(np.isnan(one_sided), 0.0, one_sided)
            climb = np.minimum(one_sided, CUT) - ALLOWED
            self._climbed = np.clip(self._climbed + climb, 0, 2 * self.height)
            faults += _exceeding(step, one_sided, self.threshold, "")
            faults += _exceeding(step, self._climbed, self.height, ", for many steps")
        self._past[:, self._seen % self._past.shape[1]] = raw.T
        self._seen += 1
        return faults

    def _spreads(self) -> NDArray[np.float64]:
        """Return the spread of each measure, on the narrower side of the median."""
        past = np.sort(self._past.reshape(len(self._past), -1))  # what is not there is NaN, and comes last
        below, above = (past < 0).sum(1), (past > 0).sum(1)
        known = np.isfinite(past).sum(1)
        sides = [
            (-_median(row[:low]), _median(row[end - high : end])) if low and high else (0.0, 0.0)
            for row, low, high, end in zip(past, below, above, known, strict=True)
        ]
        spreads: NDArray[np.float64] = np.maximum(np.min(sides, axis=1) / NORMAL, LEAST_SPREAD)
        return spreads


def _median(rows: NDArray[np.float64]) -> Any:
    """Return the median over the first axis: on few numbers, NumPy's own takes ten times as long."""
    ordered, n = np.sort(rows, axis=0), len(rows)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def _exceeding(step: int, sizes: NDArray[np.float64], limit: float, how: str) -> list[Fault]:
    """Return the ranks beyond a limit, each with the measure that is most so."""
    worst = sizes.argmax(1)
    return [
        Fault(step, int(rank), MEASURES[worst[rank]] + how, float(sizes[rank, worst[rank]]))
        for rank in np.flatnonzero(sizes.max(1) > limit)
    ]


def _logarithms(sketches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of distance from the median, peak and norm: one row per rank."""
    looks, norms, peaks = sketches[:, PRINT + 1 :], sketches[:, NORM], sketches[:, PEAK]
    typical = _median(norms)
    tiny = max(1e-6 * float(typical), 1e-300)
    away = np.sqrt(np.square(looks - _median(looks)).mean(1)) + tiny
    logarithms: NDArray[np.float64] = np.log(np.column_stack([away, peaks + tiny, norms + tiny]))
    return logarithms
