"""Numbers as people read them, with all their digits beside for who reads the page by a program."""

from __future__ import annotations

import math

from varangian.audit.page.markup import Markup, tag
from varangian.audit.series import UNBOUNDED

Told = float | str | None
"""A number as the report's JSON has it: null where nothing was measured, a word where there is no bound."""

MINUS = "\N{MINUS SIGN}"


def is_share(unit: str) -> bool:
    """Tell whether numbers of this unit are parts of a whole, which people read as percent."""
    return unit.split(" ", maxsplit=1)[0] in ("share", "accuracy")


def told(value: Told, unit: str = "", digits: int = 1) -> str:
    """Return a number in three digits, or a share as percent with so many digits behind the point.

    >>> told(0.95312, "share"), told(12.3456), told(4e-5), told("unbounded"), told(None), told(20)
    ('95.3 %', '12.3', '4e−05', '∞', '–', '20')
    """
    if value is None:
        return "–"
    if value == UNBOUNDED:
        return "∞"
    return f"{100 * float(value):.{digits}f} %" if is_share(unit) else _short(float(value))


def number(value: Told, unit: str = "") -> Markup:
    """Return the number as told, in an element that holds all its digits."""
    return tag("data", told(value, unit), value="" if value is None else value)


def height(value: Told) -> float | None:
    """Return the number to draw: infinite where there is no bound, None where nothing was measured."""
    return None if value is None else math.inf if value == UNBOUNDED else float(value)


def _short(value: float) -> str:
    if 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)
