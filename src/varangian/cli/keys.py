"""``varangian keys``: an authority, and a key and a certificate for each party."""

from __future__ import annotations

from pathlib import Path

import click

from varangian.cli.console import show
from varangian.errors import ParameterError

ADD = "add"


@click.command(
    epilog="""\b
Examples:
  varangian keys keys cluster.toml
  varangian keys keys server0=10.0.0.5,example.org worker0 worker1
  varangian keys add keys worker2

Every party is given authority.crt, its own NAME.crt and its own NAME.key; nobody else's key, and nobody
authority.key: who has that can be anybody. Files are readable by their owner alone, and none is replaced.
"""
)
@click.argument("words", nargs=-1, metavar="[add] FOLDER CLUSTER.toml|NAME[=HOST,...]...")
@click.option("--days", type=int, default=365, show_default=True, help="How long the keys hold.")
def keys(words: tuple[str, ...], days: int) -> int:
    """Make a small certificate authority, and the parties' keys.

    A certificate names its party, and the hosts at which others find it.
    """
    adds = words[:1] == (ADD,)
    folder, named = "".join(words[adds : adds + 1]), words[adds + 1 :]
    if not named:
        raise ParameterError("Say in which folder, and for whom: varangian keys keys cluster.toml.")
    parties = _parties(named)
    from varangian.engines.multiparty.keys import add_keys, make_keys

    until = (add_keys if adds else make_keys)(Path(folder), parties, days)
    made = f"{len(parties)} {'keys' if len(parties) > 1 else 'key'}"
    authority = "" if adds else "an authority and "
    show(f"Made {authority}{made} in {folder}, valid until {until:%Y-%m-%d %H:%M} UTC.")
    return 0


def _parties(named: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the parties of a cluster's file, or those that are named, with their hosts."""
    if len(named) == 1 and named[0].endswith(".toml"):
        from varangian.engines.multiparty.directory import read_directory

        return read_directory(Path(named[0])).hosts()
    pairs = [word.partition("=") for word in named]
    repeated = {name for name, _, _ in pairs if [one for one, _, _ in pairs].count(name) > 1}
    if repeated:
        raise ParameterError(f"{', '.join(sorted(repeated))}: each party has one key. Name it once.")
    return {name: tuple(filter(None, hosts.split(","))) for name, _, hosts in pairs}
