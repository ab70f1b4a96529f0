"""Two aggregations with known answers, under liars who send no numbers."""

from __future__ import annotations

import math
import time

import torch

from varangian.aggregators import Krum, TrimmedMean
from varangian.core.chain import chain
from varangian.mixers import NearestNeighborMixing

HONEST = (10.0, 11.0, 12.0, 14.0, 18.0)
LIARS = (math.nan, -math.inf)
WIDTH = 10_000
ANSWERS = {
    Krum(f=2): 12.0,  # the least sum of squares to its three nearest: 1 + 4 + 4
    chain(NearestNeighborMixing(f=2), TrimmedMean(f=2)): 13.0,  # everyone honest mixes the five honest
}


def self_check() -> str | None:
    """Return what is wrong, or None where both answers are right."""
    column = torch.tensor([*LIARS, *HONEST])
    for rule, answer in ANSWERS.items():
        got = rule(column[:, None].expand(-1, WIDTH).contiguous())
        if not torch.allclose(got, torch.full((WIDTH,), answer), atol=1e-5):
            return f"{rule!r} answered {got[:3].tolist()}... instead of {answer}"
    return None


def timed_check() -> tuple[bool, str]:
    """Return whether all is well, and the line that says so."""
    begun = time.perf_counter()
    wrong = self_check()
    seconds = time.perf_counter() - begun
    return wrong is None, f"passed in {seconds:.2f} s" if wrong is None else f"FAILED: {wrong}"
