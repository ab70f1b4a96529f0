"""A progress bar on the terminal while a run trains."""

from __future__ import annotations

import math
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from varangian.engines.loop import Progress as Stand


class Live:
    """Watches a run: remembers where it stands, and draws it where stderr is a terminal.

    Use it as a context, and hand it to the run as its ``watch``.
    """

    def __init__(self, label: str, steps: int, *, quiet: bool) -> None:
        self.stand: Stand | None = None
        self.accuracy = math.nan
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}", markup=False),
            TextColumn("{task.fields[told]}", markup=False),
        )
        hidden = quiet or not sys.stderr.isatty()
        console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        self.drawn = Progress(*columns, console=console, transient=True, expand=True, disable=hidden)
        self.task = self.drawn.add_task(label, total=steps, told="loading")

    def __enter__(self) -> Live:
        if not self.drawn.disable:
            self.drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.drawn.disable:
            self.drawn.stop()

    def __call__(self, stand: Stand) -> None:
        """Take in where the run stands now."""
        self.stand = stand
        self.accuracy = stand.row.get("accuracy", self.accuracy)
        self.drawn.update(self.task, completed=stand.step, told=told(stand, self.accuracy))


def told(stand: Stand, accuracy: float) -> str:
    """Return the loss, the last accuracy if there is one, and the time left.

    >>> told(Stand(50, 200, 30.0, {"loss": 0.25}), 0.913)
    'loss 0.25  accuracy 91.3 %  1:30 left'
    """
    measured = [] if math.isnan(accuracy) else [f"accuracy {100 * accuracy:.1f} %"]
    return "  ".join([f"loss {stand.row['loss']:.3g}", *measured, f"{clock(stand.remaining)} left"])


def clock(duration: float) -> str:
    """Return a number of seconds as a clock shows it.

    >>> clock(59.2), clock(7325)
    ('1:00', '2:02:05')
    """
    minutes, seconds = divmod(math.ceil(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
