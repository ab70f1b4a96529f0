"""Privacy as it is spelled on the command line and in TOML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from varangian.errors import ParameterError, UnknownNameError
from varangian.privacy import Privacy
from varangian.specification.names import read_value

KNOWN = {field.name: field for field in fields(Privacy)}
EXAMPLE = "privacy = 'epsilon=0.2,norm=0.01'"


def parse_privacy(spelled: str | Mapping[str, Any]) -> Privacy | None:
    """Return the privacy that a text or a table spells; ``none`` is none.

    Raises      UnknownNameError, ParameterError

    >>> parse_privacy("epsilon=0.2, norm=0.01, delta=1e-5")
    Privacy(epsilon=0.2, norm=0.01, delta=1e-05)
    >>> parse_privacy({"epsilon": 0.2, "norm": 0.01, "clip": "batch"})
    Privacy(epsilon=0.2, norm=0.01, clip='batch')
    """
    if isinstance(spelled, str):
        if spelled.strip().lower() == "none":
            return None
        spelled = _read_fields(spelled)
    for name in spelled:
        if name not in KNOWN:
            raise UnknownNameError("field of Privacy", str(name), KNOWN)
    missing = [name for name, field in KNOWN.items() if field.default is MISSING and name not in spelled]
    if missing:
        raise ParameterError(f"Privacy needs {' and '.join(missing)}: write {EXAMPLE}.")
    return Privacy(**spelled)


def _read_fields(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not value:
            raise ParameterError(f"{pair!r} is no field=value pair of Privacy; write {EXAMPLE}.")
        if name in values:
            raise ParameterError(f"{text!r} gives {name} twice.")
        values[name] = value if name == "clip" else read_value(value)
    return values
