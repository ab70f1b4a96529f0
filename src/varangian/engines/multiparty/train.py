"""An experiment, trained by processes that talk to each other over gRPC and mutual TLS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from varangian.engines.gathered import Gathered
from varangian.engines.loop import Progress
from varangian.engines.multiparty.cluster import Cluster
from varangian.engines.multiparty.course import Course
from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.limits import Limits
from varangian.protocols import Fault, Single, Topology
from varangian.specification import Experiment


@dataclass(frozen=True, kw_only=True)
class OnProcesses:
    """How an experiment is trained by a process for each party, all on this machine.

    ``faults`` says who lies on the wire, by number; workers that lie do so by the experiment's attack.
    Without a topology there is one server. Keys, ports and checkpoints are made for the run, and removed.
    """

    topology: Topology | None = None
    faults: Mapping[int, Fault] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def run(self, spec: Experiment, watch: Callable[[Progress], None] | None = None) -> Gathered:
        """Return what came of it; ``watch`` is told of the first honest holder's steps.

        Raises      MissingExtraError; ParameterError, ToleranceError, also for an experiment that no file can
                    hold; RunError where the processes cannot go on
        """
        topology = self.topology or Single(workers=spec.workers, byzantine_workers=spec.byzantine)
        faults = {topology.name(party): fault for party, fault in self.faults.items()}
        directory = Directory(experiment=spec, topology=topology, faults=faults, limits=self.limits)
        with Cluster(directory) as cluster:
            course = Course(cluster, watch)
            course.follow()
            cluster.end()
            return course.gathered()
