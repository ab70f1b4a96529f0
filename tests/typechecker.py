"""The checker of shapes and types at run time: as the type checker, it takes an int where a float will do.

To check a call takes ten times as long as most calls do. So each test checks the first calls of every
function (all doctests together are as one test), and of those inside of others, which would have to be
compiled each time, none.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

FIRST = 10
"""Calls of a function that a test checks."""

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
_calls: Counter[tuple[str, str]] = Counter()
_resting: list[Any] = []


def check(stand_in: Callable[..., Any]) -> Callable[..., Any]:
    """Return what checks the arguments, or these and the result, of a function that it stands in for."""
    if "<locals>" in stand_in.__qualname__:
        return stand_in
    checks, name = _checked(stand_in), (stand_in.__module__, stand_in.__qualname__)

    @functools.wraps(checks)
    def checks_first_calls(*arguments: Any, **options: Any) -> Any:
        _calls[name] += 1
        if _calls[name] == 2 * FIRST:  # of the arguments, and again with the result
            _rest(*name)
        return checks(*arguments, **options)

    return checks_first_calls


def begin_anew() -> None:
    """Check the first calls from here on."""
    for function in _resting:
        vars(function).pop("__no_type_check__", None)
    _resting.clear()
    _calls.clear()


def resting() -> list[Any]:
    """Return the functions that are not checked at present."""
    return list(_resting)


def _rest(module: str, qualname: str) -> None:
    """Check a function no more, if it can be found under its name."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    for one in (found.fget, found.fset) if isinstance(found, property) else (found,):
        function = inspect.unwrap(getattr(one, "__func__", getattr(one, "func", one)))
        if inspect.isfunction(function):
            function.__no_type_check__ = True  # type: ignore[attr-defined]
            _resting.append(function)
