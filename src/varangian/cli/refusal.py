"""The words for what was refused."""

from __future__ import annotations

import click

from varangian.errors import UnknownNameError
from varangian.specification.toml import NAMES


def said(error: Exception) -> str:
    """Return what an error says, with the nearest name where the command line has a flag it does not know."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        return _unknown_flag(error.option_name, error.ctx.command)
    if isinstance(error, click.ClickException):
        return error.format_message()
    return str(error)


def _unknown_flag(flag: str, command: click.Command) -> str:
    field = flag.lstrip("-").replace("-", "_")
    takes_words = any(parameter.name == "words" for parameter in command.params)
    if takes_words and field in NAMES:
        return f"There is no flag {flag}; {field} is a word without dashes: {field}=VALUE."
    known = [name for parameter in command.params for name in parameter.opts if name.startswith("-")]
    return str(UnknownNameError("flag", flag, [*known, "--help"]))
