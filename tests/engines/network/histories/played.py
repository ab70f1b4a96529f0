"""Many histories of one protocol, for ``test_many``."""

from __future__ import annotations

from typing import Any

from varangian.engines.network.histories import Tally, many


def played(protocol: str, histories: int) -> list[Any]:
    """Return what a tally holds; its means are judged."""
    whole = sum(many(protocol, histories), Tally(protocol))
    whole.judge()
    return [whole.count, whole.broken, whole.injected, whole.refused, whole.sums]
