"""Who may be honest: the sets of clients over which an audit takes the worst."""

from __future__ import annotations

import itertools
import math

from varangian.core.parties import Parties
from varangian.core.randomness import Stream

MOST = 64


def honest_sets(n: int, b: int, parties: Parties | None, stream: Stream) -> list[tuple[int, ...]]:
    """Return every set of n - b clients, or 64 of them drawn at random if there are more.

    With weights, liars who would hold more than the mass that is declared are left out: the rule makes no
    promise about them.

    >>> honest_sets(3, 1, None, Stream())
    [(1, 2), (0, 2), (0, 1)]
    """
    if math.comb(n, b) <= MOST:
        chosen = list(itertools.combinations(range(n), b))
    else:
        random = stream.at("honest sets").numpy()
        drawn = {tuple(sorted(random.choice(n, b, replace=False).tolist())) for _ in range(MOST)}
        chosen = sorted(drawn)
    if parties is not None:
        held = parties.shares.tolist()
        chosen = [liars for liars in chosen if sum(held[i] for i in liars) <= parties.mass * (1 + 1e-9)]
    return [tuple(i for i in range(n) if i not in liars) for liars in chosen]


def told(n: int, b: int, sets: int) -> str:
    """Return in words how many sets were looked at."""
    every = math.comb(n, b)
    which = f"all {sets}" if sets == every else f"{sets} of the {every}"
    return f"{which} sets of {n - b} honest clients"
