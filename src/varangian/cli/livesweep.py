"""A progress bar over a whole sweep."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from varangian.cli.live import clock
from varangian.experiments.sweeps import Standing


class LiveSweep:
    """Draws how far a sweep is, where stderr is a terminal; a context, and the sweep's ``watch``."""

    def __init__(self, runs: int, *, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[told]}", markup=False),
        )
        hidden = quiet or not sys.stderr.isatty()
        console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        self.drawn = Progress(*columns, console=console, transient=True, expand=True, disable=hidden)
        self.task = self.drawn.add_task(f"0/{runs} runs", total=None, told="checking")

    def __enter__(self) -> LiveSweep:
        if not self.drawn.disable:
            self.drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.drawn.disable:
            self.drawn.stop()

    def __call__(self, standing: Standing) -> None:
        """Take in where the sweep stands now."""
        self.drawn.update(
            self.task,
            description=f"{standing.finished}/{standing.runs} runs",
            completed=standing.steps_done,
            total=standing.steps,
            told=told(standing),
        )


def told(standing: Standing) -> str:
    """Return the share of steps done, how many runs failed, and the time left.

    >>> told(Standing(3, 1, 24, 400, 2400, 30.0, 150.0))
    '16.7 % of all steps  1 failed  2:30 left'
    """
    done = f"{100 * standing.steps_done / standing.steps:.1f} % of all steps"
    failed = [f"{standing.failed} failed"] if standing.failed else []
    left = [f"{clock(standing.remaining)} left"] if standing.remaining is not None else []
    return "  ".join([done, *failed, *left])
