"""Which nodes a round asks: those that are connected, and those that were and are gone."""

from __future__ import annotations

import time
from typing import Any

from varangian.core.randomness import Stream
from varangian.errors import ToleranceError


class Nodes:
    """The nodes of a run.

    A node that leaves stays in the count, as a client that is silent, so that f of them may go and the run
    goes on; it is forgotten when as many as before are connected without it.
    """

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.connected: set[int] = set()

    def asked(
        self, grid: Any, fraction: float, least: int, available: int, *, seconds: float, stream: Stream
    ) -> list[int]:
        """Return a share of the nodes, at least ``least`` of them, once ``available`` are known.

        Randomness  from ``stream`` alone
        Raises      ToleranceError where too few have connected after so many seconds; Flower waits for ever
        """
        end, needed = time.monotonic() + seconds, max(available, least)
        self._look(grid)
        while len(self.known) < needed:
            if time.monotonic() >= end:
                raise ToleranceError(
                    f"{len(self.known)} of {needed} nodes were connected within {seconds:g} s. "
                    "Start more SuperNodes, or ask for fewer: min_available_nodes, min_train_nodes."
                )
            time.sleep(min(1.0, seconds))
            self._look(grid)
        nodes = sorted(self.known)
        chosen = stream.chosen(len(nodes), max(int(len(nodes) * fraction), least))
        return [nodes[place] for place in sorted(chosen.tolist())]

    def _look(self, grid: Any) -> None:
        self.connected = set(grid.get_node_ids())
        enough = len(self.connected) >= len(self.known)
        self.known = self.connected if enough else self.known | self.connected
