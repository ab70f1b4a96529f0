"""A cluster's training as it goes: who is where, when it is over, and what came of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from varangian.engines.gathered import Gathered
from varangian.engines.loop import Progress
from varangian.engines.multiparty.checkpoint import Checkpoint
from varangian.engines.multiparty.cluster import Cluster, Event
from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.nursery import REFUSED
from varangian.engines.multiparty.tally import Breach
from varangian.errors import DataError, RunError
from varangian.metrics import Table
from varangian.protocols import Refusal

REASONS = {why.name.lower(): why.value for kind in (Refusal, Breach) for why in kind}
GRACE = 5.0
"""Seconds that slower honest parties are given once the model is there."""


@dataclass
class Standing:
    """Where a party is: its step, and what it measured there."""

    step: int = 0
    alive: bool = False
    finished: bool = False
    row: Mapping[str, float] | None = None


class Course:
    """Follow a cluster until every honest party that holds a model has it, or nobody can go on."""

    def __init__(self, cluster: Cluster, watch: Callable[[Progress], None] | None = None) -> None:
        self.cluster, self.directory, self.watch = cluster, cluster.directory, watch
        self.standing = {name: Standing() for name in self.directory.names}
        self.holders = holders(self.directory)
        self.begun = time.perf_counter()

    def follow(self, look: Callable[[], None] = lambda: None, pulse: float = 0.2) -> None:
        """Return when it is over; ``look`` is called after everything that happens, and at least every pulse.

        Raises      RunError where more parties are dead than the others can do without; DataError for what
                    a party refuses: a checkpoint of another run, a port that is taken
        """
        ended = math.inf
        while time.monotonic() < ended and not self.everybody:
            for event in self.cluster.events(pulse):
                self.note(event)
                look()
                if self.over:
                    break
            look()
            if self.over:
                ended = min(ended, time.monotonic() + GRACE)

    def note(self, event: Event) -> None:
        """Take in what was heard. Raises RunError; DataError for what a party refuses."""
        if "party" not in event:
            return
        name, standing = event["party"], self.standing[event["party"]]
        match event:
            case {"event": "started"}:
                standing.alive = True
            case {"event": "ended", "code": code}:
                standing.alive = False
                if code == REFUSED:
                    raise DataError(f"{name}: {self.cluster.last_words(name)}")
                self._count_the_dead(name, code)
            case {"event": "finished"}:
                standing.finished = True
            case {"event": "step", "step": step, "steps": steps, "row": row}:
                standing.step, standing.row = step, row
                if self.watch is not None and name == self.holders[0]:
                    seconds = time.perf_counter() - self.begun
                    self.watch(Progress(step, steps, seconds, {**row, "loss": row.get("loss", self.loss)}))

    @property
    def loss(self) -> float:
        """Return the mean of what the honest workers lost last."""
        known = [one.row["loss"] for one in self.standing.values() if one.row and "loss" in one.row]
        return sum(known) / len(known) if known else math.nan

    @property
    def over(self) -> bool:
        """Tell whether every honest holder of a model that is alive has the last one."""
        there = [self.standing[name] for name in self.holders if self.standing[name].alive]
        return bool(there) and all(one.finished for one in there)

    @property
    def everybody(self) -> bool:
        """Tell whether also all other honest parties that are alive have come to the end."""
        honest = [self.standing[name] for name in honest_parties(self.directory)]
        return self.over and all(one.finished for one in honest if one.alive)

    def _count_the_dead(self, name: str, code: int) -> None:
        for group in self.directory.topology.groups:
            names = [self.directory.names[party] for party in group.parties]
            dead = [one for one in names if not self.standing[one].alive]
            if name in names and len(names) - len(dead) < group.quorum:
                words = self.cluster.last_words(name)
                raise RunError(
                    f"{', '.join(dead)} ended, and the others cannot go on with fewer than {group.quorum} "
                    f"{group.role}s. {name} left with code {code}{f': {words}' if words else ''}"
                )

    def gathered(self) -> Gathered:
        """Return what came of it, once the cluster has ended. Raises RunError where nobody has a model."""
        reports = {name: self.cluster.report(name) for name in self.directory.names}
        lead = next((name for name in self.holders if reports[name].get("finished")), None)
        if lead is None:
            raise RunError("No honest party has come to the end.")
        told = {name: reports[name]["accuracy"] for name in self.holders if "accuracy" in reports[name]}
        return Gathered(
            self.directory.experiment,
            _table(lead, reports, honest_parties(self.directory)),
            torch.tensor(_parameters(self.directory, lead)),
            time.perf_counter() - self.begun,
            told,
            refused_in(reports),
            sum(peer["sent"] for report in reports.values() for peer in report.get("peers", {}).values()),
            max(reports[lead]["metrics"]["seconds"], default=0.0),
        )


def holders(directory: Directory) -> list[str]:
    """Return the honest parties that hold a model."""
    honest = honest_parties(directory)
    return [
        directory.names[party]
        for party in directory.topology.groups[0].parties
        if directory.names[party] in honest
    ]


def honest_parties(directory: Directory) -> list[str]:
    """Return who follows the protocol."""
    spec, topology = directory.experiment, directory.topology
    liars = {
        topology.name(party)
        for party in topology.groups[-1].parties
        if topology.role(party)[1] >= spec.honest and spec.attack is not None
    }
    return [name for name in directory.names if name not in directory.faults and name not in liars]


def refused_in(reports: Mapping[str, Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    """Return how often who refused whose messages, and why."""
    return Counter(
        {
            (name, peer, REASONS.get(why, why)): count
            for name, report in reports.items()
            for peer, about in report.get("peers", {}).items()
            for why, count in about["refused"].items()
        }
    )


def _table(lead: str, reports: Mapping[str, Mapping[str, Any]], honest: list[str]) -> Table:
    """Return the rows of one party, each with the mean of the honest workers' losses at its step."""
    lost: dict[float, list[float]] = {}
    for name in honest:
        metrics = reports[name].get("metrics", {})
        for step, loss in zip(metrics.get("step", ()), metrics.get("loss", ()), strict=False):
            lost.setdefault(step, []).append(loss)
    columns = dict(reports[lead]["metrics"])
    losses = [lost.get(step, [math.nan]) for step in columns.get("step", ())]
    return Table.of({**columns, "loss": [sum(one) / len(one) for one in losses]})


def _parameters(directory: Directory, name: str) -> Any:
    assert directory.checkpoints is not None
    saved = Checkpoint.of(directory.checkpoints, name, directory.identity).read()
    assert saved is not None
    return saved.state["theta"]
