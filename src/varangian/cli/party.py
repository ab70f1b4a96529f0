"""``varangian serve`` and ``varangian join``: this process is one party of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from varangian.cli.bar import Bar
from varangian.cli.console import show
from varangian.errors import ParameterError

if TYPE_CHECKING:
    from varangian.engines.multiparty.directory import Directory

INTERRUPTED = 130
KEYS, CHECKPOINTS = "keys", "checkpoints"

_OPTIONS = (
    click.argument("file", metavar="NODE.toml", type=click.Path(path_type=Path)),
    click.option(
        "--party", metavar="NAME", help="Who this is: server0, worker3, peer2; or the file says so."
    ),
    click.option("--quiet", is_flag=True, help="No progress on stderr."),
)
EPILOG = """\b
The file describes the whole cluster and is the same for everybody: see examples/cluster.toml. Keys are made
by varangian keys. Ctrl-C leaves a checkpoint, and the same command goes on from it; so it does after a crash.
Exit codes: 0 done, 2 refused, 130 interrupted.
"""


def _party_command(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(epilog=EPILOG)
@_party_command
def serve(file: Path, party: str | None, quiet: bool) -> int:
    """Be a party that others dial: a server, or a peer."""
    directory, name = _read(file, party)
    if name not in directory.addresses and name not in directory.listen:
        told = f'write [addresses] {name} = "host:port"' if name in directory.listening else "it dials: join"
        raise ParameterError(f"{name} has no address at which others could find it; {told}.")
    return _run(directory, name, f"varangian serve {file} --party {name}", quiet)


@click.command(epilog=EPILOG)
@_party_command
def join(file: Path, party: str | None, quiet: bool) -> int:
    """Be a party that only dials: a worker, or the last peer."""
    directory, name = _read(file, party)
    if name in directory.listening:
        raise ParameterError(f"{name} is dialled by others: varangian serve {file} --party {name}.")
    addresses = {one: place for one, place in directory.addresses.items() if one != name}
    directory = replace(directory, addresses=addresses, listen={})
    return _run(directory, name, f"varangian join {file} --party {name}", quiet)


def _read(file: Path, party: str | None) -> tuple[Directory, str]:
    """Return the cluster and who this is, with folders beside the file where it names none."""
    from varangian.engines.multiparty.directory import read_directory

    directory = read_directory(file)
    name = party or directory.party
    if name is None:
        raise ParameterError(f"{file} is for everybody; say who this is: --party {directory.names[0]}.")
    directory.number(name)
    kept = directory.checkpoints or file.parent / CHECKPOINTS
    return replace(directory, keys=directory.keys or file.parent / KEYS, checkpoints=kept), name


def _run(directory: Directory, name: str, again: str, quiet: bool) -> int:
    from varangian.engines.multiparty.party import Party

    steps = directory.experiment.steps
    with Bar(name, steps, "waiting for the others", counted=True, quiet=quiet) as bar:

        def say(event: Mapping[str, Any]) -> None:
            if event["event"] == "step":
                bar.show(completed=event["step"], told=_told(event["row"]))

        party = Party(directory, name, say=say)
        bar.show(completed=party.record.told)
        code = party.go()
    if code:
        where = f"after step {party.record.told} of {steps}"
        show(f"interrupted: {name} {where}. Go on with: {again}", errors=True)
        return INTERRUPTED
    report = party.report()
    accuracy = f", test accuracy {100 * report['accuracy']:.1f} %" if "accuracy" in report else ""
    show(f"{name}: {steps} steps{accuracy}.")
    return 0


def _told(row: Mapping[str, float]) -> str:
    names = {"loss": "loss {:.3g}", "accuracy": "accuracy {:.1%}"}
    return "  ".join(text.format(row[name]) for name, text in names.items() if row.get(name, -1.0) >= 0)
