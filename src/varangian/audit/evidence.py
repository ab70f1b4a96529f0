"""What recorded rounds say of each client, at a stated rate of false accusations; a verdict on nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

from varangian.audit.examination import Examined
from varangian.audit.report import Client, Finding
from varangian.audit.series import Axis, Curves, Line

RATE = 1e-3
"""How often, at most, an audit may name a client that is like all others."""


def clients_of(
    examined: Sequence[Examined], names: Sequence[str], shares: Sequence[float] | None
) -> tuple[Client, ...]:
    """Return how often each client was the furthest from all others, and how likely that is by chance.

    If all clients are alike and rounds independent, each is the furthest of m in a round with probability
    1/m; the chance told is that of as many rounds or more, times m for looking at all clients.
    """
    m, rounds = len(names), len(examined)
    made = []
    for i, name in enumerate(names):
        outlying = sum(one.furthest == i for one in examined)
        chance = min(1.0, m * _tail(rounds, outlying, 1 / m)) if outlying else 1.0
        differs = chance <= RATE
        words = "like the others"
        if differs:
            words = (
                f"furthest from the others in {outlying} of {rounds} rounds: unusual data, a broken device, "
                "or a lie; the vectors alone cannot tell which"
            )
        influence = sum(one.influence[i] for one in examined) / rounds
        share = None if shares is None else shares[i]
        made.append(Client(name, share, rounds, influence, outlying, chance, differs, words))
    return tuple(made)


def evidence(clients: Sequence[Client]) -> Finding:
    """Return how many clients stand out."""
    differing = [client.name for client in clients if client.differs]
    named = f": {', '.join(differing[:5])}" if differing else ""
    return Finding(
        "evidence",
        "Clients that differ from the others",
        "warn" if differing else "pass",
        float(len(differing)),
        "clients",
        f"{len(differing)} of {len(clients)}{named}",
        f"A client that is like all others is named here in at most {RATE:.1%} of audits, if rounds are "
        "independent. Who differs may have unusual data; this is no verdict on anybody.",
        RATE,
        "Ask them, and look at their data before you look at them." if differing else "",
        series=("influence",),
    )


def influence_curves(examined: Sequence[Examined], names: Sequence[str]) -> Curves:
    """Return how much each client moved the aggregate, round by round."""
    rounds = tuple(float(place) for place in range(1, len(examined) + 1))
    lines = tuple(
        Line(name, rounds, tuple(one.influence[i] for one in examined)) for i, name in enumerate(names)
    )
    return Curves(
        "Influence of each client over the rounds",
        "How far the aggregate moves when a client's vector is replaced by the mean of the others'.",
        Axis("round"),
        Axis("influence", "honest standard deviations"),
        lines,
    )


def _tail(trials: int, successes: int, probability: float) -> float:
    """Return the probability of so many successes or more.

    >>> round(_tail(10, 3, 0.5), 4)
    0.9453
    """
    return sum(
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(successes, trials + 1)
    )
