"""``varangian bench``: how fast rules are on this machine, and how fast they could be."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from varangian.cli.bar import Bar
from varangian.cli.benchtable import key, legend, notes, summary
from varangian.cli.console import entries, fits, show, table
from varangian.cli.export import write_json
from varangian.cli.targets import check_targets
from varangian.errors import ParameterError
from varangian.experiments.bench import (
    DTYPES,
    OURS,
    RULES,
    Case,
    Measured,
    Start,
    as_record,
    cases,
    draw_bench,
    installed,
    machine,
    measured,
    starts,
)
from varangian.experiments.sweeps.crew import usable_cores

REFUSED = 1
INTERRUPTED = 130


class Grid(NamedTuple):
    """The sizes that nobody has to say, and the seconds that a case may take beyond one call of everyone."""

    n: tuple[int, ...]
    d: int
    seconds: float


FULL = Grid((11, 25, 51, 101), 1_000_000, 3.0)
QUICK = Grid((11, 25), 100_000, 0.25)
FEWEST = 1000
"""Shorter vectors than this measure the call, not the rule."""


class Count(click.ParamType[int]):
    """A whole number, in digits or as 1e6."""

    name = "count"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Raises BadParameter."""
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not number.is_integer() or number < self.least:
            self.fail(f"{value!r} is no whole number of at least {self.least}.", param, ctx)
        return int(number)


@click.command()
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE", help="As train takes it; give it as often as needed."
)
@click.option("--n", "ns", multiple=True, type=Count(1), help="Vectors; 11, 25, 51, 101 if not said.")
@click.option("--d", "ds", multiple=True, type=Count(FEWEST), help="Numbers a vector; 1e6 if not said.")
@click.option(
    "--dtype", "dtypes", multiple=True, type=click.Choice(list(DTYPES)), help="float32 if not said."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Of PyTorch, and of ours.")
@click.option("--quick", is_flag=True, help="Small, in under a minute: n = 11 and 25, d = 1e5.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write all numbers."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw them: .png or .svg; CSV beside."
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def bench(
    rules: tuple[str, ...],
    ns: tuple[int, ...],
    ds: tuple[int, ...],
    dtypes: tuple[str, ...],
    threads: int | None,
    quick: bool,
    json_path: Path | None,
    plot: Path | None,
    quiet: bool,
) -> int:
    """Measure rules on this machine.

    Beside each rule: the time in which its input is read once and nothing else is done, PyTorch's own
    operators, and ByzFL, ByzPy, Flower and krum where they are installed. All take turns, with the same
    threads and the same vectors, of which nearly a fifth lie; medians are printed. After Ctrl-C, those of
    what was measured. Exit codes: 0 done, 1 every case was refused, 2 nothing can be measured or written,
    130 interrupted.
    """
    _check_threads(threads)
    grid = QUICK if quick else FULL
    todo = cases(rules or RULES, ns or grid.n, ds or (grid.d,), dtypes or ("float32",))
    check_targets([plot] if plot else [], json_path, tables=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return _bench(todo, grid.seconds, json_path, plot, quiet=quiet)
    finally:
        torch.set_num_threads(before)


def _check_threads(threads: int | None) -> None:
    """Refuse more threads than cores, each of which PyTorch would make. Raises ParameterError."""
    cores = usable_cores()
    if threads and threads > cores:
        raise ParameterError(
            f"--threads {threads}: pass at most {cores}, the number of cores that this process may use."
        )


def _bench(
    todo: Sequence[Case], seconds: float, json_path: Path | None, plot: Path | None, *, quiet: bool
) -> int:
    libraries = list(installed())
    where = {**machine(), "peers": ", ".join(told for _, told in libraries) or "none"}
    begun: dict[tuple[str, int, str], Start] | None = {}
    found: list[Measured] = []
    interrupted = False
    with Bar("first calls", len(todo), "in processes of their own", counted=True, quiet=quiet) as bar:
        try:
            begun = starts(todo)
            for one in measured(todo, [peer for peer, _ in libraries if peer], seconds, _shown_on(bar)):
                found.append(one)
                bar.show(completed=len(found))
        except KeyboardInterrupt:
            interrupted = True
    show(*(f"{name}: {value}" for name, value in where.items()))
    if found:
        columns, rows, numbers = summary(found, begun or {})
        made = table(columns, rows, numbers=numbers)
        show("", *legend(found), "", made if fits(made) else entries(columns, rows))
        show(*notes(found))
    if begun is None:
        show("The first calls are not known: the process that should have timed them failed.")
    if json_path:
        records = [as_record(one, (begun or {}).get(key(one))) for one in found]
        write_json({"machine": where, "command": _command(), "cases": records}, json_path)
    some = any(OURS in one.times for one in found)
    if plot and some:
        title = f"{where['processor']}, {where['threads']} threads, commit {where['commit']}"
        show(f"Wrote {', '.join(map(str, draw_bench(found, plot, title)))}")
    if interrupted:
        show(f"interrupted: {len(found)} of {len(todo)} cases are measured", errors=True)
        return INTERRUPTED
    if not some:
        show("Every case was refused; nothing is measured.", errors=True)
        return REFUSED
    return 0


def _shown_on(bar: Bar) -> Callable[[Case], None]:
    return lambda case: bar.show(description=f"{case.text}, n = {case.n}", told=f"d = {case.d}, {case.dtype}")


def _command() -> str:
    return shlex.join(["varangian", *sys.argv[1:]])
