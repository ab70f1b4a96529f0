"""Servers and workers: one server, several that may crash, several that may lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

from varangian.core.conditions import Condition
from varangian.core.guard import admit
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.protocols.answering import ASK, AnsweringServer
from varangian.protocols.asking import AskingWorker
from varangian.protocols.group import Group
from varangian.protocols.member import Setting
from varangian.protocols.message import GONE, NO_NUMBERS, Form, Kind
from varangian.protocols.node import Node
from varangian.protocols.primary import Follower, Replica
from varangian.protocols.server import GATHER, GRADIENT, MODEL, Server
from varangian.protocols.topology import Task, Topology
from varangian.protocols.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Served(Topology):
    """Topologies of servers and workers."""

    workers: int
    byzantine_workers: int = 0
    servers: int = 1
    byzantine_servers: int = 0
    worker_quorum: int = 0
    server_quorum: int = 0
    gather_every: int = 10
    patience: float = 0.0

    @property
    def server_group(self) -> Group:
        """Return the servers."""
        return Group("server", self.servers, self.byzantine_servers, self.server_quorum)

    @property
    def worker_group(self) -> Group:
        """Return the workers."""
        return Group("worker", self.workers, self.byzantine_workers, self.worker_quorum, self.servers)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return servers and workers."""
        return (self.server_group, self.worker_group)

    def kinds(self, form: Form) -> dict[str, Kind]:
        """Return models, gradients, models between servers, and words that are gone."""
        servers, workers = (Kind(form, frozenset(group.parties), liars=group.f) for group in self.groups)
        return {MODEL: servers, GRADIENT: workers, GATHER: servers, GONE: self.gone}

    def _setting(self, task: Task) -> Setting:
        return Setting(
            kinds=self.kinds(task.form),
            servers=self.server_group,
            workers=self.worker_group,
            steps=task.steps,
            gather_every=self.gather_every,
            patience=self.patience,
            window=self.window,
        )

    def _server(self, party: int, task: Task, made: type[Server]) -> Node:
        return made(party, self._setting(task), task.keeper(), task.middle)

    def _worker(self, party: int, task: Task, made: type[Worker | AskingWorker]) -> Node:
        return made(party, self._setting(task), task.learner(party - self.servers), task.middle)


@dataclass(frozen=True, kw_only=True)
class Single(Served):
    """One server that everybody trusts."""

    patience: float = 1.0

    def check(self, rule: Stage) -> None:
        """Refuse a rule that cannot take a quorum of the workers."""
        if self.servers != 1:
            raise ParameterError(f"{self!r}: this topology has one server. Replicated has several.")
        self.worker_group.check(Condition(1, "n >= 1"), Condition(1, "q >= 1"))
        admit(rule, self.worker_group.quorum)

    def node(self, party: int, task: Task) -> Node:
        """Return the server or a worker."""
        if party == 0:
            return self._server(party, task, Server)
        return self._worker(party, task, Worker)

    def _setting(self, task: Task) -> Setting:
        return replace(super()._setting(task), gather_every=0)


@dataclass(frozen=True, kw_only=True)
class Replicated(Served):
    """Servers of which some may lie: asynchronous ByzSGD.

    Condition   n_w >= 3 f_w + 1, n_ps >= 3 f_ps + 2, quorums 2 f_w + 1 <= q_w <= n_w - f_w and
                2 f_ps + 2 <= q_ps <= n_ps - f_ps
    Reference   El-Mhamdi et al., PODC 2020
    """

    servers: int = 5
    byzantine_servers: int = 1

    def check(self, rule: Stage) -> None:
        """Refuse numbers outside the condition, and a rule that cannot take a quorum."""
        for group, more in ((self.worker_group, 1), (self.server_group, 2)):
            group.check(
                Condition(3 * group.f + more, f"n >= 3f + {more}"),
                Condition(2 * group.f + more, f"q >= 2f + {more}"),
            )
        admit(rule, self.worker_group.quorum)

    def node(self, party: int, task: Task) -> Node:
        """Return a server or a worker."""
        if party < self.servers:
            return self._server(party, task, Server)
        return self._worker(party, task, Worker)


@dataclass(frozen=True, kw_only=True)
class Synchronous(Replicated):
    """Synchronous ByzSGD: workers ask one server at a time, and filter what it says.

    ``patience`` bounds how long an honest party's answer takes.
    """

    patience: float = 1.0

    def kinds(self, form: Form) -> dict[str, Kind]:
        """Return those of ``Replicated``, and questions."""
        workers = self.worker_group
        asks = Kind(NO_NUMBERS, frozenset(workers.parties), liars=workers.f, kept=False)
        return {**super().kinds(form), ASK: asks}

    def node(self, party: int, task: Task) -> Node:
        """Return a server or a worker."""
        if party < self.servers:
            return self._server(party, task, AnsweringServer)
        return self._worker(party, task, AskingWorker)


@dataclass(frozen=True, kw_only=True)
class CrashTolerant(Served):
    """The baseline: servers that may crash but not lie, one of which leads.

    Condition   n >= f + 1 servers. One that has lost its checkpoint is among the f until another has told it
                the model.
    """

    servers: int = 3
    byzantine_servers: int = 2
    patience: float = 1.0

    def check(self, rule: Stage) -> None:
        """Refuse more crashes than servers can stand in for."""
        f = self.byzantine_servers
        self.server_group.check(Condition(f + 1, "n >= f + 1"), Condition(1, "q >= 1"))
        self.worker_group.check(Condition(self.byzantine_workers + 1, "n >= f + 1"), Condition(1, "q >= 1"))
        admit(rule, self.worker_group.quorum)

    def node(self, party: int, task: Task) -> Node:
        """Return a server or a worker."""
        if party >= self.servers:
            return self._worker(party, task, Follower)
        return Replica(party, self._setting(task), task.keeper())
