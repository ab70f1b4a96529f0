"""A progress bar on the terminal while a run trains."""

from __future__ import annotations

import math

from varangian.cli.bar import Bar
from varangian.engines.loop import Progress as Stand


class Live(Bar):
    """Watches a run: remembers where it stands, and draws it where stderr is a terminal.

    Use it as a context, and hand it to the run as its ``watch``.
    """

    def __init__(self, label: str, steps: int, *, quiet: bool) -> None:
        super().__init__(label, steps, "loading", counted=True, quiet=quiet)
        self.stand: Stand | None = None
        self.accuracy = math.nan

    def __call__(self, stand: Stand) -> None:
        """Take in where the run stands now."""
        self.stand = stand
        self.accuracy = stand.row.get("accuracy", self.accuracy)
        self.show(completed=stand.step, told=told(stand, self.accuracy))


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
