"""CLI: words typed in a terminal -> runs, tables, files and an exit code."""

from varangian.cli.program import main

__all__ = ["main"]
