"""The program: its commands, and the exit code of each ending."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

import varangian
from varangian.cli.audit import audits
from varangian.cli.bench import bench
from varangian.cli.cite import cite
from varangian.cli.cluster import cluster
from varangian.cli.commands import Commands
from varangian.cli.console import fold_away
from varangian.cli.doctor import doctor
from varangian.cli.fairshare import fairshare
from varangian.cli.history import play
from varangian.cli.keys import keys
from varangian.cli.listing import list_catalogue
from varangian.cli.neurons import neurons
from varangian.cli.party import join, serve
from varangian.cli.refusal import said
from varangian.cli.reproduce import reproduce
from varangian.cli.results import results
from varangian.cli.sites import sites
from varangian.cli.sweep import sweep
from varangian.cli.train import train
from varangian.errors import VarangianError

REFUSED = 2
INTERRUPTED = 130


@click.group(
    cls=Commands,
    commands=[
        train,
        sweep,
        results,
        reproduce,
        audits,
        sites,
        neurons,
        list_catalogue,
        cite,
        doctor,
        bench,
        play,
        keys,
        serve,
        join,
        cluster,
        fairshare,
    ],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(varangian.__version__, prog_name="varangian", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Train models with people you do not trust.

    Start with: varangian train --versus
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, the process's own if none is given, and return its exit code.

    0 done; 1 runs failed, an audit met a condition to fail, or ``doctor`` found something wrong; 2 refused,
    the reason on stderr; 130 interrupted. Anything else that goes wrong is a bug and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = program.main(arguments, prog_name="varangian", standalone_mode=False)
    except (VarangianError, click.ClickException) as error:
        print(f"error: {said(error)}", file=sys.stderr)
        return REFUSED
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    with fold_away():
        sys.stdout.flush()
    return int(code or 0)
