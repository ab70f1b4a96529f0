"""The searches of ``test_search``, by group: what they find."""

from __future__ import annotations

from functools import partial

from varangian.core.randomness import Stream
from varangian.engines.network.search import aggregation, agreement, gathering, reliable_broadcast, worst
from varangian.protocols import ByDiameter, ByWitness, Group

BADNESS = {
    "diameter": partial(agreement, ByDiameter),
    "witness": partial(agreement, ByWitness),
    "broadcast": reliable_broadcast,
    "aggregation": aggregation,
    "gathering": gathering,
}


def search(
    name: str, groups: list[list[int]], tries: int, enough: float = 1.0, genes: int = 256
) -> list[float]:
    """Return the worst found for each group, given as n, f, quorum (0 for n - f)."""
    found = []
    for n, f, quorum in groups:
        group = Group("party", n, f, quorum, first=1 if name == "aggregation" else 0)
        badness = partial(BADNESS[name], group)
        found.append(worst(badness, stream=Stream(1), tries=tries, enough=enough, genes=genes)[0])
    return found
