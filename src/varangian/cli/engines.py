"""Where a run takes place: options of the commands that train."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from rich.table import Table

from varangian.cli.console import table
from varangian.engines import Engine, Gathered, Result
from varangian.engines.arrange import parse_fault, parse_topology
from varangian.errors import ParameterError
from varangian.protocols import Topology
from varangian.specification import Experiment

ENGINES = ("simulate", "network", "multiparty")
COLUMNS = ("who", "test accuracy (%)")

_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="simulate",
        help="Where it runs: simulate is fastest, multiparty starts a process for each party.",
    ),
    click.option("--topology", metavar="TOPOLOGY", help="single, replicated:servers=8, decentralised, ..."),
    click.option("--fault", metavar="FAULT", help="What lying servers send: equivocating, noise, ..."),
    click.option("--loss", type=float, metavar="P", help="The share of messages that are lost on the way."),
)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of an engine."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def engine_of(
    engine: str, topology: str | None, fault: str | None, loss: float | None
) -> Callable[[Experiment], Engine | None]:
    """Return what makes the engine of an experiment, None being the simulator. Raises ParameterError."""
    told = {"topology": topology, "fault": fault, "loss": loss}
    if engine == "simulate":
        given = [f"--{name}" for name, value in told.items() if value is not None]
        if given:
            raise ParameterError(
                f"{given[0]} needs parties that send messages, and --engine simulate has none. "
                "Say --engine network."
            )
        return lambda spec: None

    if engine == "multiparty" and loss is not None:
        raise ParameterError("--loss is for --engine network; real processes lose what their links lose.")

    def made(spec: Experiment) -> Engine:
        arranged = parse_topology(topology or "single", spec)
        faults = dict.fromkeys(_liars(arranged), parse_fault(fault)) if fault else {}
        lying = {party: lie for party, lie in faults.items() if lie is not None}
        if fault and not faults:
            raise ParameterError(
                f"--fault {fault} is what lying servers send, and here no server may lie. "
                "Say --topology replicated, for instance."
            )
        if engine == "multiparty":
            from varangian.engines.multiparty.train import OnProcesses

            return OnProcesses(topology=arranged, faults=lying)
        from varangian.engines.network import Link, OnNetwork

        return OnNetwork(topology=arranged, link=Link(loss=loss or 0.0), faults=lying)

    return made


def _liars(topology: Topology) -> list[int]:
    """Return the servers that lie: the last ones, as many as may."""
    servers = topology.groups[0]
    return list(servers.parties)[servers.n - servers.f :] if servers.role == "server" else []


def parties_told(results: Iterable[Result]) -> list[Table | str]:
    """Return who holds what, and what was refused, of the runs of many parties."""
    told: list[Table | str] = []
    for result in results:
        if isinstance(result, Gathered):
            rows = [(who, f"{100 * accuracy:.1f}") for who, accuracy in result.accuracies.items()]
            told += [table(COLUMNS, rows, numbers=COLUMNS[1:]), _messages(result)]
    return told


def _messages(result: Gathered) -> str:
    refused = sum(result.refused.values())
    reasons: dict[str, int] = {}
    for (_, _, why), count in result.refused.items():
        reasons[why] = reasons.get(why, 0) + count
    listed = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
    told = f"{refused} were refused: {listed}" if refused else "none was refused"
    return f"{result.messages} messages in {result.elapsed:.2f} s of the parties' clock; {told}."
