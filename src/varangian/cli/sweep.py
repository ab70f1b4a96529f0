"""``varangian sweep``: a grid of experiments, each run once, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import click

from varangian.cli.console import show
from varangian.cli.livesweep import LiveSweep
from varangian.errors import ParameterError
from varangian.experiments.loggers import parse_destination
from varangian.experiments.store import Store
from varangian.experiments.sweeps import Failure, Outcome, carry_out, read_grid
from varangian.experiments.sweeps.crew import Crew, usable_cores
from varangian.experiments.sweeps.ray import RayCrew
from varangian.specification import Experiment, to_toml

FAILED = 1
INTERRUPTED = 130


@click.command(
    epilog="""\b
A grid file is an experiment, as train takes it, and a table of what varies:

\b
  data = "mnist"
  steps = 300
  [grid]
  rule = ["krum", "nnm+trmean"]
  seed = [1, 2, 3]
  who = [{ workers = 11, byzantine = 2 }, { workers = 20, byzantine = 4 }]

Every combination is a run. A name that is no field (who) lists tables of fields that vary together.

A run that the store holds is not run again. After Ctrl-C, a crash or a power cut, give the same command: what
was under way goes on from its last checkpoint. Any number of sweeps may share a store. Exit codes: 0 all
done, 1 some runs failed, 2 refused before anything ran or the store cannot be used, 130 interrupted.
"""
)
@click.argument("grid", metavar="GRID.toml", type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default="store",
    show_default=True,
    help="Where runs are kept.",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; as many as usable cores.")
@click.option(
    "--ray", metavar="ADDRESS", help="Compute on a Ray cluster; auto: this machine's, or a new one."
)
@click.option(
    "--log", "logs", multiple=True, metavar="tensorboard:DIR|mlflow:DIR", help="Log every run there."
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def sweep(
    grid: Path, store: Path, jobs: int | None, ray: str | None, logs: tuple[str, ...], quiet: bool
) -> int:
    """Run every combination of a grid, and keep the results."""
    specs, kept = read_grid(grid), Store(store)
    destinations = [parse_destination(text) for text in logs]
    crew = RayCrew(ray, jobs) if ray else Crew(jobs or usable_cores())

    def log(spec: Experiment) -> None:
        for destination in destinations:
            if not destination.holds(spec):
                destination.record(kept.read(spec))

    with LiveSweep(len(specs), quiet=quiet) as live:
        outcome = carry_out(specs, kept, crew, watch=live, done=log)
    for failure in outcome.failures:
        show(*obituary(failure), errors=True)
    if outcome.interrupted:
        show(
            f"interrupted: {outcome.finished} of {outcome.runs} runs are finished. "
            f"Go on with: varangian sweep {grid} --store {store}",
            errors=True,
        )
        return INTERRUPTED
    show(summary(outcome), f"See them with: varangian results --store {store}")
    return FAILED if outcome.failures else 0


def summary(outcome: Outcome) -> str:
    """Return what became of the runs.

    >>> summary(Outcome(runs=24, already=4, finished=24, failures=[]))
    '24 of 24 runs are finished, 4 of them before.'
    """
    before = f", {outcome.already} of them before" if outcome.already else ""
    failed = f" {len(outcome.failures)} failed." if outcome.failures else ""
    return f"{outcome.finished} of {outcome.runs} runs are finished{before}.{failed}"


def obituary(failure: Failure) -> list[str]:
    """Return what failed, how, and as which file it can be tried alone."""
    return [f"failed: {failure.error}", *(f"    {line}" for line in _lines(failure.experiment))]


def _lines(experiment: Experiment) -> list[str]:
    try:
        return to_toml(experiment).splitlines()
    except ParameterError:
        return [repr(experiment)]
