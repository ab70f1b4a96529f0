"""A progress bar over a whole sweep."""

from __future__ import annotations

from varangian.cli.bar import Bar
from varangian.cli.live import clock
from varangian.experiments.sweeps import Standing


class LiveSweep(Bar):
    """Draws how far a sweep is, where stderr is a terminal; a context, and the sweep's ``watch``."""

    def __init__(self, runs: int, *, quiet: bool) -> None:
        super().__init__(f"0/{runs} runs", None, "checking", counted=False, quiet=quiet)

    def __call__(self, standing: Standing) -> None:
        """Take in where the sweep stands now."""
        self.show(
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
