"""Peers without a server."""

from __future__ import annotations

from dataclasses import dataclass

from varangian.core.guard import admit
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.protocols.averaging import Averaging
from varangian.protocols.by_diameter import ByDiameter
from varangian.protocols.by_witness import ByWitness
from varangian.protocols.group import Group
from varangian.protocols.message import GONE, Form, Kind
from varangian.protocols.node import Node
from varangian.protocols.peer import Peer
from varangian.protocols.topology import Task, Topology

WAYS: dict[str, type[Averaging]] = {"diameter": ByDiameter, "witness": ByWitness}


@dataclass(frozen=True, kw_only=True)
class Decentralised(Topology):
    """Peers without a server, which agree by averaging.

    Condition   n >= 6f + 1 and 2q >= n + 4f + 1 by diameter, n >= 3f + 1 and q >= 2f + 1 by witness;
                q <= n - f
    Reference   El-Mhamdi et al., NeurIPS 2021
    """

    peers: int
    byzantine: int = 0
    quorum: int = 0
    way: str = "diameter"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.way not in WAYS:
            raise ParameterError(f"Decentralised(way={self.way!r}): way must be one of {', '.join(WAYS)}.")

    @property
    def group(self) -> Group:
        """Return the peers."""
        return Group("peer", self.peers, self.byzantine, self.quorum)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return the peers."""
        return (self.group,)

    def check(self, rule: Stage) -> None:
        """Refuse too few peers, and a rule that cannot take a quorum."""
        f = self.byzantine
        way = WAYS[self.way]
        self.group.check(way.condition(f), way.least(self.group))
        admit(rule, self.group.quorum)

    def kinds(self, form: Form) -> dict[str, Kind]:
        """Return those of the averaging, and words that are gone."""
        return {**WAYS[self.way].kinds(self.group, form), GONE: self.gone}

    def node(self, party: int, task: Task) -> Node:
        """Return a peer."""
        return Peer(
            party,
            self.kinds(task.form),
            group=self.group,
            way=WAYS[self.way],
            reduce=task.reduce,
            learner=task.learner(party),
            keeper=task.keeper(),
            steps=task.steps,
            window=self.window,
        )
