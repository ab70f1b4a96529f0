"""A line that tells how far a download is."""

from __future__ import annotations

import sys

_MEGABYTE = 1e6


class Progress:
    """Tell on stderr how much of a file has come, by what pooch asks of a progress bar."""

    def __init__(self, name: str) -> None:
        self.name, self.total, self.done, self.shown = name, 0, 0, -1

    def update(self, size: int) -> None:
        """Count more bytes, and write when a whole megabyte has come since the last time."""
        self.done += size
        if int(self.done / _MEGABYTE) != self.shown:
            self.shown = int(self.done / _MEGABYTE)
            whole = f" of {self.total / _MEGABYTE:.0f}" if self.total else ""
            print(f"\r{self.name}: {self.shown}{whole} MB", end="", file=sys.stderr, flush=True)

    def reset(self) -> None:
        """Count from zero again."""
        self.done = 0

    def close(self) -> None:
        """End the line."""
        print(file=sys.stderr)
