"""Values that print themselves briefly: only the fields that differ from their defaults."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any

from varangian.errors import ParameterError

KINDS: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "str": str}


class Value:
    """A base for frozen dataclasses, whose repr makes them again and says nothing superfluous."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Value.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)  # type: ignore[arg-type]
            if field.repr and getattr(self, field.name) != _default(field)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


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


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
