"""From the sketches of all ranks to the ranks that compute wrong, at a stated rate of false alarms.

Norm, peak, and distance from the ranks' median in random projections are compared by their logarithms; see
``accounting.deviations`` for the model of a clean run, and for what is an alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from varangian.accounting.deviations import Deviations, median
from varangian.kernels.tallies import BROKEN, NORM, PEAK, PRINT

MEASURES = ("far from the others", "a high peak", "a long gradient", "a short gradient")


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

    ``rate`` is the expected number of false alarms per step, over all ranks and measures. Nothing is
    compared before ``warm`` steps were seen; values which are not finite, and gradients that repeat, need no
    comparison.
    """

    def __init__(self, n: int, rate: float, window: int = 200, warm: int = 20) -> None:
        self.n = n
        self.step = 0
        self.deviations = Deviations(MEASURES, rate, window=window, warm=warm)
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
        measures = np.full((self.n, len(MEASURES)), np.nan)
        measures[sound] = _logarithms(sketches[sound])
        for rank, sign, size in self.deviations.judge(measures):
            found.setdefault(rank, Fault(step, rank, sign, size))
        return sorted(found.values(), key=lambda fault: fault.rank)

    def _repeated(self, sketches: NDArray[np.float64], sound: NDArray[np.bool_]) -> list[tuple[int, str]]:
        """Return the ranks that send what they, or others before them, have sent."""
        prints = np.where(sound & (sketches[:, NORM] > 0), sketches[:, PRINT], np.nan)
        stale = prints == self._prints
        self._prints = prints
        found = [(int(rank), "the same gradient as a step ago") for rank in np.flatnonzero(stale)]
        if len(set(prints[sound].tolist())) > 1:
            first: dict[float, int] = {}
            for rank, one in enumerate(prints.tolist()):
                if first.setdefault(one, rank) != rank:  # every NaN is a key of its own
                    found.append((rank, f"the same gradient as rank {first[one]}"))
        return [] if stale.all() else found


def _logarithms(sketches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of distance from the median, peak, norm and its inverse: one row per rank."""
    if not len(sketches):
        return np.empty((0, len(MEASURES)))
    looks, norms, peaks = sketches[:, PRINT + 1 :], sketches[:, NORM], sketches[:, PEAK]
    typical = median(norms)
    tiny = max(1e-6 * float(typical), 1e-300)
    away = np.sqrt(np.square(looks - median(looks)).mean(1)) + tiny
    logarithms: NDArray[np.float64] = np.log(np.column_stack([away, peaks + tiny, norms + tiny]))
    return np.column_stack([logarithms, -logarithms[:, 2]])
