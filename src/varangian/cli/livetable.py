"""A table on stderr that changes while something lasts, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live


class LiveTable:
    """Draws what is shown to it last, as a context; nothing on a pipe, or if it is ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        self._live = None if quiet or not sys.stderr.isatty() else Live(console=console, transient=True)

    def __enter__(self) -> LiveTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, made: Callable[[], RenderableType]) -> None:
        """Draw what is made, if anything is drawn."""
        if self._live is not None:
            self._live.update(made())
