"""``varangian cluster``: a whole cluster on this machine, and who of one is alive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from varangian.cli.clustertable import answers_table, outcome_tables, standing_table
from varangian.cli.commands import Commands
from varangian.cli.console import show, show_json
from varangian.cli.livetable import LiveTable
from varangian.errors import RunError

if TYPE_CHECKING:
    from varangian.engines.multiparty.course import Course

FAILED, INTERRUPTED = 1, 130


@click.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def cluster(context: click.Context) -> None:
    """Try out a whole cluster on this machine, or ask one how it is."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cluster.command(
    epilog="""\b
Addresses that the file leaves out are free ports of this machine; keys and checkpoints that it does not
name are made in a folder of their own, and removed. With [checkpoints] folder, the same command goes on
after Ctrl-C. Nothing is left running.

\b
Exit codes: 0 done, 1 too many parties died, 2 refused, 130 interrupted.
"""
)
@click.argument("file", metavar="CLUSTER.toml", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def up(file: Path, as_json: bool, quiet: bool) -> int:
    """Start every party of a cluster here, and tell what came of it.

    Meanwhile, stderr shows who is at which step.
    """
    from varangian.engines.multiparty.cluster import Cluster
    from varangian.engines.multiparty.course import Course
    from varangian.engines.multiparty.directory import read_directory

    directory = read_directory(file)
    try:
        with Cluster(directory) as running:
            if not quiet:
                show(f"Ask with: varangian cluster status {running.file}", errors=True)
            course, steps = Course(running), directory.experiment.steps
            with LiveTable(quiet=quiet) as live:
                course.follow(lambda: live.show(lambda: standing_table(course.standing, steps)))
            running.end()
            return _tell(course, as_json)
    except RunError as error:
        show(f"error: {error}", errors=True)
        return FAILED
    except KeyboardInterrupt:
        again = f". Go on with: varangian cluster up {file}" if directory.checkpoints else ""
        show(f"interrupted{again}", errors=True)
        return INTERRUPTED


@cluster.command()
@click.argument("file", metavar="CLUSTER.toml", type=click.Path(path_type=Path))
@click.option("--party", metavar="NAME", help="Whose keys to show; the first that can be read.")
@click.option("--json", "as_json", is_flag=True, help="Print all that the parties tell as JSON.")
def status(file: Path, party: str | None, as_json: bool) -> int:
    """Ask the parties of a cluster who is alive.

    Also at which step each is, how long it waits for a quorum, and what it refuses. They are asked over
    mutual TLS, with the keys of one of them. What a party says is its own word.
    """
    from dataclasses import replace

    from varangian.engines.multiparty.directory import read_directory
    from varangian.engines.multiparty.status import ask_all

    directory = read_directory(file)
    if party is not None:
        directory.number(party)
    answers = ask_all(replace(directory, keys=directory.keys or file.parent / "keys"), party)
    if as_json:
        show_json(answers)
    else:
        show(answers_table(directory.names, answers))
    return 0 if any(answers.values()) else FAILED


def _tell(course: Course, as_json: bool) -> int:
    gathered = course.gathered()
    reports: dict[str, Any] = {name: course.cluster.report(name) for name in course.directory.names}
    if as_json:
        told = {name: {key: one for key, one in r.items() if key != "metrics"} for name, r in reports.items()}
        show_json({"accuracies": gathered.accuracies, "seconds": gathered.seconds, "parties": told})
    else:
        show(*outcome_tables(gathered, reports))
    return 0
