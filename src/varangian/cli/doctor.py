"""``varangian doctor``: is all well here, and if not, what to do."""

from __future__ import annotations

import click
from rich.table import Table

from varangian.cli.console import show
from varangian.cli.selfcheck import timed_check
from varangian.cli.surroundings import data, machine, versions

SICK = 1


@click.command()
def doctor() -> int:
    """Tell what is installed, and check that rules work.

    Versions, processor, memory, where data sets are. The exit code is 1 if a rule answers wrong.
    """
    well, told = timed_check()
    lines = Table.grid("name", "state", padding=(0, 2))
    for line in (*versions(), *machine(), *data(), ("self check", told)):
        lines.add_row(*line)
    show(lines)
    return 0 if well else SICK
