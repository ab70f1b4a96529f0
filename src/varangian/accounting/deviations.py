"""From measures of all parties to those who deviate, at a stated rate of false alarms.

*Measures.* Each is a logarithm, and counts where it is high; its deviation is from the median over parties,
in units of a spread that is measured on the last steps of all parties. The spread is the smaller one of the
two sides, since a wrong party widens but one.

*Model of a clean run.* In these units a deviation z exceeds any c with probability at most exp(-1.5 (c - 1)),
and z, cut at 3, has E exp(z - 1.25) <= 1, whatever happened before. Gaussian deviations satisfy both with
room. The mean gradients of batches of 16 samples and more, all from the same data, were seen to. Parties with
data of their own do not, one of which may stay farther out for good: an allowance is then taken off each
deviation, and slow faults are left alone.

*Alarms.* A single step counts if its deviation is rarer than the rate allows. A slow fault counts by
cumulative sums of z - 1.25, floored at 0: by Wald, a climb begins and reaches h with probability at most
exp(-h) in each step.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

DECAY, CUT, ALLOWED = 1.5, 3.0, 1.25
"""How fast the chance of a deviation falls, where slow faults cut it, and what they forgive at every step."""
NORMAL = 0.6745
"""The median of the absolute value of a standard normal number."""
LEAST_SPREAD = 0.02
"""Parties that always agree are given a spread of two percent."""
LASTS = ", for many steps"
"""What is said of a slow fault beside its measure."""


class Deviation(NamedTuple):
    """Who deviates (a row of the measures), in what (a sign), and by how many spreads."""

    row: int
    sign: str
    size: float


class Deviations:
    """Judges the measures of one step after the other.

    ``signs`` says what a high value of each measure means. ``rate`` is the expected number of false alarms
    per step, over all parties and measures; if ``slow``, half of it is for slow faults. Parties may deviate
    by ``allowance`` for good. Nothing is compared before ``warm`` steps were seen, nor where fewer than three
    parties were measured. The spread is that of ``window`` steps.
    """

    def __init__(
        self,
        signs: Sequence[str],
        rate: float,
        *,
        window: int = 200,
        warm: int = 20,
        allowance: float = 0.0,
        slow: bool = True,
    ) -> None:
        self.signs, self.rate, self.warm = tuple(signs), rate, warm
        self.allowance, self.slow = allowance, slow
        self.compared = 0
        self._steps = 0
        self._past = np.full((len(self.signs), window, 0), np.nan)
        self._climbed: dict[Hashable, NDArray[np.float64]] = {}

    def judge(
        self, measures: Float[np.ndarray, "n m"], parties: Sequence[Hashable] | None = None
    ) -> list[Deviation]:
        """Return who deviates in this step or for many; a party that was not measured has a row of NaN.

        Rows are ``parties``, who may be others in every step; without names, they are the same.
        """
        self._steps += 1
        there = ~np.isnan(measures).any(1)
        if there.sum() < 3:
            return []
        raw = np.full(measures.shape, np.nan)
        raw[there] = measures[there] - median(measures[there])
        found: list[Deviation] = []
        if self._steps > self.warm and self.compared:
            z = (raw - self.allowance) / self.spreads()
            z = np.where(np.isnan(z), 0.0, z)
            height = math.log(z.size / (self.rate / 2 if self.slow else self.rate))
            found += self._exceeding(z, 1 + height / DECAY, "")
            if self.slow:
                found += self._exceeding(self._climb(z, height, parties or range(len(z))), height, LASTS)
        self._keep(raw)
        return found

    @property
    def last(self) -> NDArray[np.float64]:
        """Return the deviations of the last step in which parties were compared, a row each, in no units."""
        return self._past[:, (self.compared - 1) % self._past.shape[1]].T

    def spreads(self) -> NDArray[np.float64]:
        """Return the spread of each measure, on the narrower side of the median."""
        past = np.sort(self._past.reshape(len(self._past), -1))  # what is not there is NaN, and comes last
        below, above = (past < 0).sum(1), (past > 0).sum(1)
        known = np.isfinite(past).sum(1)
        sides = [
            (-median(row[:low]), median(row[end - high : end])) if low and high else (0.0, 0.0)
            for row, low, high, end in zip(past, below, above, known, strict=True)
        ]
        spreads: NDArray[np.float64] = np.maximum(np.min(sides, axis=1) / NORMAL, LEAST_SPREAD)
        return spreads

    def _keep(self, raw: NDArray[np.float64]) -> None:
        """Keep the deviations of a step in place of the oldest; there may be more parties than ever."""
        missing = max(0, len(raw) - self._past.shape[2])
        if missing:
            self._past = np.pad(self._past, ((0, 0), (0, 0), (0, missing)), constant_values=np.nan)
        place = self._past[:, self.compared % self._past.shape[1]]
        place[:, : len(raw)], place[:, len(raw) :] = raw.T, np.nan
        self.compared += 1

    def _climb(
        self, z: NDArray[np.float64], height: float, parties: Sequence[Hashable]
    ) -> NDArray[np.float64]:
        """Return the cumulative sums of each party after this step."""
        nothing = np.zeros(z.shape[1])
        before = np.stack([self._climbed.get(party, nothing) for party in parties])
        climbed = np.clip(before + np.minimum(z, CUT) - ALLOWED, 0, 2 * height)
        for party, sums in zip(parties, climbed, strict=True):
            self._climbed[party] = sums
            if not sums.any():
                del self._climbed[party]
        return climbed

    def _exceeding(self, sizes: NDArray[np.float64], limit: float, how: str) -> list[Deviation]:
        """Return the rows beyond a limit, each with the measure that is most so."""
        worst = sizes.argmax(1)
        return [
            Deviation(int(row), self.signs[worst[row]] + how, float(sizes[row, worst[row]]))
            for row in np.flatnonzero(sizes.max(1) > limit)
        ]


def median(rows: NDArray[np.float64]) -> Any:
    """Return the median over the first axis: on few numbers, NumPy's own takes ten times as long."""
    ordered, n = np.sort(rows, axis=0), len(rows)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
