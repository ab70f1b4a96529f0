"""Two tests of a model that one server tells: the gradient there is as usual, and it is near enough."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

REMEMBERED = 100


class Lipschitz:
    """Believe a model at which the gradient changes no faster than most have made it change.

    ``share`` is that of honest servers: the quantile of past rates of change that a model must not exceed.
    Rejected rates are remembered too, so that the bound does not shrink by itself.
    """

    def __init__(self, share: float, remembered: int = REMEMBERED) -> None:
        self.share = share
        self.past: deque[float] = deque(maxlen=remembered)

    def accepts(self, change: float, distance: float) -> bool:
        """Tell whether |change of the gradient| over |distance of the models| is as usual."""
        rate = change / distance if distance > 0 else (0.0 if change == 0 else math.inf)
        rate = rate if math.isfinite(rate) else math.inf
        bound = float(np.quantile(self.past, self.share, method="higher")) if self.past else rate
        self.past.append(rate)
        return rate <= bound and rate < math.inf


def outlier_bound(rate: float, gradient: float, step: int, gather_every: int, workers: int, f: int) -> float:
    """Return how far an honest server's model can be from a worker's own guess at ``step``.

    ``rate`` and ``gradient`` are the learning rate and the norm of the worker's gradient at the last gather.

    Reference   El-Mhamdi et al., PODC 2020
    """
    if f == 0:
        return math.inf
    spread = (3 * gather_every + 2) * (workers - f) / (4 * f)
    return rate * gradient * (spread + 2 * ((step - 2) % gather_every))
