"""``varangian sites``: what one hospital among unequal ones can do to what they learn together."""

from __future__ import annotations

import click

from varangian.cli.console import show, table
from varangian.errors import ParameterError
from varangian.experiments.sites import SIZES, site_errors

HALF = 0.5


@click.command()
@click.option("--sizes", metavar="SHARES", help="Shares of the data, with commas; else those of 8 hospitals.")
@click.option("--mass", default=0.105, metavar="SHARE", help="How much of the weight a liar may hold: 0.105.")
@click.option(
    "--cap", default=0.3, metavar="SHARE", help="The largest share of a site in the last line: 0.3."
)
@click.option("--seed", default=1, metavar="N", help="How the digits are dealt.")
def sites(sizes: str | None, mass: float, cap: float, seed: int) -> None:
    """Print what one lying site does to each rule, by its size.

    Real data: the digits, dealt to sites of the shares that hospitals of a consortium hold (0.6 to 52 %),
    each of which trains a softmax regression for a round. The numbers are relative errors of the aggregated
    update: with nobody lying, and the worst over four attacks by each site alone.
    """
    shares = SIZES if sizes is None else _read(sizes)
    found = site_errors(shares, mass=mass, cap=cap, seed=seed)
    columns = ["aggregated by", "nobody", *(f"{share:.1%}" for share in shares)]
    rows = [
        [
            one.name,
            f"{one.calm:.3f}",
            *(f"{error:.3f}" if error < 10 else f"{error:.0f}" for error in one.attacked),
        ]
        for one in found
    ]
    show(table(columns, rows, numbers=columns[1:]))
    if max(shares) >= HALF:
        show(
            f"A site with {max(shares):.0%} of the weight is a majority: no rule that honours its weight can "
            "outvote it. The last line caps every share."
        )


def _read(sizes: str) -> tuple[float, ...]:
    try:
        return tuple(float(size) for size in sizes.split(","))
    except ValueError:
        raise ParameterError(f"--sizes {sizes}: write shares such as 0.5,0.3,0.2.") from None
