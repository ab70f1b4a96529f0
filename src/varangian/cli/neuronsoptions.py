"""The options that commands of ``varangian neurons`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Option = Callable[[Any], Any]
FILE: Any = click.Path(path_type=Path)

data_dir = click.option("--data-dir", type=FILE, metavar="DIR", help="Where its files are.")
seed = click.option("--seed", type=int, default=1, show_default=True)
plot = click.option("--plot", type=FILE, metavar="FILE", help="Draw it: .png or .svg; CSV beside.")
json_path = click.option("--json", "json_path", type=FILE, metavar="FILE", help="Write all numbers.")


def data(default: str, of: str) -> Option:
    """Return the option that names a data set."""
    return click.option("--data", default=default, show_default=True, help=of)


def steps(default: int, of: str = "To train a NAME.") -> Option:
    """Return the option that says how long a model is trained."""
    return counted("--steps", default, of)


def draws(default: int, of: str, least: int = 1) -> Option:
    """Return the option that says how many faults are drawn."""
    return counted("--draws", default, of, least)


def counted(name: str, default: int, of: str, least: int = 1) -> Option:
    """Return an option that counts something."""
    return click.option(name, type=click.IntRange(min=least), default=default, show_default=True, help=of)
