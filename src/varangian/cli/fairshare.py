"""``varangian fairshare``: an uplink shared evenly between hosts, however many connections each opens."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table

from varangian.cli.console import show, table
from varangian.engines.fairshare import Kernel, Standing, Uplink, hosts_of, plan
from varangian.engines.fairshare.plan import By
from varangian.errors import ParameterError

QUEUES = {"auto": None, "cake": True, "htb": False}


@click.command(
    epilog="""\b
Examples:
  varangian fairshare eth1=19mbit --hosts 10.0.0.0/28
  varangian fairshare eth1=19mbit,via=192.0.2.1 eth2=47mbit,via=198.51.100.1 --hosts 10.0.0.0/24
  varangian fairshare eth1              what each host has sent, and lost
  varangian fairshare eth1 --remove

Give a little less than the uplink carries, 95 % for instance, so that packets wait here and nowhere else.
"""
)
@click.argument("uplinks", nargs=-1, required=True, metavar="DEVICE[=RATE[,via=ROUTER]]...")
@click.option("--hosts", multiple=True, metavar="NETWORK", help="Who shares: addresses or networks.")
@click.option(
    "--by",
    type=click.Choice(["source", "destination"]),
    default="source",
    show_default=True,
    help="Which address of a packet is the host's: source on their router, destination on their server.",
)
@click.option(
    "--with",
    "queue",
    type=click.Choice(list(QUEUES)),
    default="auto",
    show_default=True,
    help="CAKE where the kernel has it; HTB, with a class for each host, everywhere.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands that do the same, and do nothing.")
@click.option("--remove", is_flag=True, help="Take away what this command has set up.")
def fairshare(
    uplinks: tuple[str, ...], hosts: tuple[str, ...], by: By, queue: str, dry_run: bool, remove: bool
) -> int:
    """Share uplinks evenly between hosts.

    A host with one connection gets as much as one with sixteen, and what a host leaves, the others share.
    Over several uplinks every host is given one of them. Needs Linux and its administrator; saying it twice
    changes nothing. Without a rate: show what stands.
    """
    rated = ["=" in uplink for uplink in uplinks]
    if remove or not any(rated):
        return _of_devices([uplink.partition("=")[0] for uplink in uplinks], remove=remove)
    if not all(rated):
        raise ParameterError(
            "Give every uplink its rate, eth1=20mbit for instance, or none to see what stands."
        )
    links, people, cake = [Uplink.of(uplink) for uplink in uplinks], hosts_of(hosts), QUEUES[queue]
    if dry_run:
        show(*(step.line for step in plan(links, people, by=by, cake=cake is not False)))
        if cake is None:
            show("Where the kernel has no CAKE, --with htb is done; --dry-run shows that, too.", errors=True)
        return 0
    with Kernel() as kernel:
        done = kernel.share(links, people, by=by, cake=cake)
    show(f"{', '.join(link.device for link in links)}: shared by {by} with {done}.")
    return 0


def _of_devices(devices: Sequence[str], *, remove: bool) -> int:
    with Kernel() as kernel:
        if remove:
            kernel.remove(devices)
            show(f"{', '.join(devices)}: no longer shared by us.")
        else:
            standing = list(kernel.standing(devices))
            show(_told(standing) if standing else f"{', '.join(devices)}: not shared by us.")
    return 0


def _told(standing: Sequence[Standing]) -> Table:
    rows = [(one.device, one.kind, one.place, f"{one.bytes:,}", f"{one.dropped:,}") for one in standing]
    return table(["uplink", "queue", "who", "bytes", "dropped"], rows, numbers=["bytes", "dropped"])
