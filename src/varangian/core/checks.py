"""Refusals of fields that are not what they were declared to be."""

from __future__ import annotations

import math
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from varangian.errors import ParameterError

KINDS: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str}


def check_fields(value: Any, least: float = -math.inf) -> None:
    """Refuse a dataclass in which what is declared as int, float, bool or str is something else.

    Numbers are finite, and ``least`` or more. Raises ParameterError.
    """
    for field in fields(value):
        check_field(type(value).__name__, field, getattr(value, field.name), least)


def check_field(owner: str, field: Any, value: Any, least: float = -math.inf) -> None:
    """Refuse a value for a field that is not of the type declared. Raises ParameterError."""
    wanted = KINDS.get(str(field.type))
    if wanted is None:
        return
    number = wanted not in (str, bool)
    real = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
    if not real or (number and not least <= value < math.inf):
        told = f"{owner}({field.name}={value!r}): {field.name} must be of type {field.type}"
        raise ParameterError(f"{told}, {least:g} or more." if number and least > -math.inf else f"{told}.")


def check_flags(owner: Any) -> None:
    """Refuse anything but True or False in a field declared as bool."""
    for field in fields(owner):
        value = getattr(owner, field.name)
        if field.type in ("bool", bool) and not isinstance(value, bool):
            name = field.name
            raise ParameterError(f"{type(owner).__name__}({name}={value!r}): {name} must be True or False.")


def check_count(owner: object, name: str, value: object, *, least: int) -> None:
    """Refuse a field that is not an integer of at least ``least``."""
    kind = type(owner).__name__
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ParameterError(f"{kind}({name}={value!r}): {name} must be an integer of at least {least}.")
    if value < least:
        raise ParameterError(f"{kind}({name}={value}): {name} must be at least {least}.")


def check_number(
    owner: object,
    name: str,
    value: object,
    *,
    above: float = 0.0,
    least: float | None = None,
    most: float = math.inf,
) -> None:
    """Refuse a field that is not a finite number above ``above`` (or from ``least`` on) up to ``most``."""
    kind = type(owner).__name__
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ParameterError(f"{kind}({name}={value!r}): {name} must be a finite number.")
    number = float(value)
    if (number <= above if least is None else number < least) or number > most:
        lower = f"above {above:g}" if least is None else f"at least {least:g}"
        upper = f" and at most {most:g}" if most < math.inf else ""
        raise ParameterError(f"{kind}({name}={value!r}): {name} must be {lower}{upper}.")
