"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

Drawn = TypeVar("Drawn", bound="Bar")


class Bar:
    """What runs and sweeps draw while they last: a label, a bar, and what is ``told`` beside it.

    Use it as a context. Nothing is drawn on a pipe, or if it is ``quiet``.
    """

    def __init__(self, label: str, total: int | None, told: str, *, counted: bool, quiet: bool) -> None:
        count = [TextColumn("{task.completed}/{task.total}", markup=False)] if counted else []
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            *count,
            TextColumn("{task.fields[told]}", markup=False),
        )
        hidden = quiet or not sys.stderr.isatty()
        console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        self.drawn = Progress(*columns, console=console, transient=True, expand=True, disable=hidden)
        self.task = self.drawn.add_task(label, total=total, told=told)

    def __enter__(self: Drawn) -> Drawn:
        if not self.drawn.disable:
            self.drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.drawn.disable:
            self.drawn.stop()

    def show(self, **changes: Any) -> None:
        """Draw what has changed: completed, total, description, told."""
        self.drawn.update(self.task, **changes)
