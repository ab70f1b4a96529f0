"""Words -> how the parties of an experiment are arranged, and how they lie to each other."""

from __future__ import annotations

from varangian.protocols import FAULTS, TOPOLOGIES, Fault, Topology
from varangian.specification import Experiment
from varangian.specification.names import parse_named


def parse_topology(text: str, spec: Experiment) -> Topology:
    """Return the topology that a text spells, for the workers of an experiment.

    As many may lie as the rule declares, if it declares a number.

    Raises      UnknownNameError, ParameterError; ToleranceError where it proves nothing

    >>> parse_topology("replicated:servers=8,byzantine_servers=2", Experiment(workers=10)).server_group.quorum
    6
    """
    declared = max(rule.f or 0 for rule in spec.rules)
    workers = {"workers": spec.workers, "byzantine_workers": declared}
    peers = {"peers": spec.workers, "byzantine": declared}
    topology = parse_named("topology", text, TOPOLOGIES, workers | peers)
    for rule in spec.rules:
        topology.check(rule)
    return topology


def parse_fault(text: str) -> Fault | None:
    """Return the fault that a text spells; ``none`` is none.

    >>> parse_fault("noise:scale=3.0")
    Noise(scale=3.0)
    """
    return None if text.strip().lower() == "none" else parse_named("fault", text, FAULTS, {})
