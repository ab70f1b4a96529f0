"""``varangian reproduce``: a paper's experiments, its numbers beside ours, its figures."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from varangian.cli.console import show, table
from varangian.cli.livesweep import LiveSweep
from varangian.cli.sweep import FAILED, INTERRUPTED, obituary
from varangian.cli.targets import check_drawing
from varangian.errors import DataError, UnknownNameError
from varangian.experiments.recipes import RECIPES, Comparison, Recipe, Scope
from varangian.experiments.recipes.report import COLUMNS
from varangian.experiments.store import Store
from varangian.experiments.sweeps import carry_out
from varangian.experiments.sweeps.crew import Crew, usable_cores

NUMBERS = ("published", "ours", "difference")
WIDTH = 76


def _epilog() -> str:
    """Return what each recipe does and about how long it takes, on two cores."""
    return "\n\n".join(["Papers, and the times they take on two cores:", *map(_entry, RECIPES)])


def _entry(recipe: Recipe) -> str:
    """Return a recipe's paragraph, wrapped here so that click leaves its lines alone."""
    told = {
        "": f"{recipe.summary} ({recipe.reference.short})",
        "quick: ": recipe.quick,
        "full: ": recipe.full,
        "data: ": ", ".join(recipe.datasets),
    }
    lines = [
        textwrap.fill(f"{head}{words}", WIDTH, initial_indent="  ", subsequent_indent="    ")
        for head, words in told.items()
    ]
    return "\n".join(["\b", recipe.name, *lines])


@click.command(epilog=_epilog())
@click.argument("paper", metavar="|".join(recipe.name for recipe in RECIPES))
@click.option("--quick/--full", default=True, help="A stated part, in a minute (the default), or all of it.")
@click.option("--as-released", is_flag=True, help="As the authors' code does where it leaves their paper.")
@click.option("--data", metavar="NAME", help="Another data set than the paper's first.")
@click.option("--data-dir", metavar="DIR", help="The only folder to look for its files in.")
@click.option("--seeds", type=int, metavar="N", help="How many seeds; the paper's number if full, else 1.")
@click.option("--steps", type=int, metavar="N", help="Train so many steps instead of the paper's.")
@click.option("--device", default="cpu", metavar="NAME", help="cpu, or cuda.")
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where runs are kept; OUT/store if not said.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where figures go; else reproduced-PAPER.",
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Processes; as many as usable cores.")
@click.option("--quiet", is_flag=True, help="No progress on stderr; the table is still printed.")
def reproduce(
    paper: str,
    quick: bool,
    as_released: bool,
    data: str | None,
    data_dir: str | None,
    seeds: int | None,
    steps: int | None,
    device: str,
    store: Path | None,
    out: Path | None,
    jobs: int | None,
    quiet: bool,
) -> int:
    """Run a paper's experiments, and print its numbers beside ours.

    Published, ours, the difference; then the figures, with the numbers behind each as CSV. Finished runs are
    kept: interrupt it when you like, and give the same command again to go on.
    """
    recipe = find(paper)
    scope = Scope(
        full=not quick,
        seeds=seeds,
        steps=steps,
        as_released=as_released,
        data=data,
        data_dir=data_dir,
        device=device,
    )
    settings = recipe.settings(scope)
    folder = out or Path(f"reproduced-{recipe.name}")
    check_drawing()
    make(folder)
    kept = Store(store or folder / "store")
    crew = Crew(jobs or usable_cores())
    with LiveSweep(len(settings), quiet=quiet) as live:
        outcome = carry_out(settings, kept, crew, watch=live)
    done = [kept.read(spec) for spec in settings if spec in kept]
    comparison = recipe.report(done, scope)
    _tell(comparison)
    for failure in outcome.failures:
        show(*obituary(failure), errors=True)
    if outcome.interrupted or outcome.failures:
        told = "interrupted: " if outcome.interrupted else ""
        show(
            f"{told}{len(done)} of {len(settings)} runs are done; give the same command to go on", errors=True
        )
        return INTERRUPTED if outcome.interrupted else FAILED
    comparison.write_csv(folder / "comparison.csv")
    drawn = {path.stem for path in recipe.draw(done, folder)}
    show(f"Wrote {folder}: comparison.csv, and as PNG, SVG and CSV: {', '.join(sorted(drawn))}")
    return 0


def find(name: str) -> Recipe:
    """Return the recipe of that name. Raises UnknownNameError."""
    for recipe in RECIPES:
        if recipe.name == name.lower():
            return recipe
    raise UnknownNameError("paper to reproduce", name, [recipe.name for recipe in RECIPES])


def make(folder: Path) -> None:
    """Make a folder. Raises DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror or error}. Name another folder.") from None


def _tell(comparison: Comparison) -> None:
    rows = [line.cells() for line in comparison.lines]
    columns = [f"{column} ({comparison.unit})" if column in NUMBERS[:2] else column for column in COLUMNS]
    aligned = [column for column in columns if column.partition(" ")[0] in NUMBERS]
    show(comparison.title, table(columns, rows, numbers=aligned), *comparison.notes)
