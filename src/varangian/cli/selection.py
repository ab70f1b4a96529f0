"""Which runs: words such as ``rule=krum`` and ``attack~alie``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

from varangian.cli.spellings import brief
from varangian.data import parse_split
from varangian.errors import ParameterError, UnknownNameError
from varangian.experiments.store import Entry
from varangian.specification import Experiment, parse_attack, parse_rule
from varangian.specification.names import read_value
from varangian.specification.privacy import parse_privacy
from varangian.specification.write import plain

FIELDS = (*(field.name for field in fields(Experiment)), "run")
"""What can be asked for: fields of an experiment, and the run's own name, of which the start is enough."""

READERS: dict[str, Callable[[str, Experiment], Any]] = {
    "rule": lambda text, spec: parse_rule(text, spec.byzantine),
    "attack": lambda text, spec: parse_attack(text),
    "split": lambda text, spec: parse_split(text),
    "privacy": lambda text, spec: parse_privacy(text),
}


def selected(entries: Iterable[Entry], words: Sequence[str]) -> list[Entry]:
    """Return the runs that meet every condition: FIELD=VALUE as train reads it, FIELD~PART of what is shown.

    Raises      ParameterError for what is no condition; UnknownNameError for a field or a name
    """
    conditions = [_condition(word) for word in words]
    return [entry for entry in entries if all(holds(entry) for holds in conditions)]


def check_field(name: str) -> str:
    """Return the name of a field. Raises UnknownNameError."""
    if name not in FIELDS:
        raise UnknownNameError("field of an experiment", name, FIELDS)
    return name


def shown(entry: Entry) -> dict[str, Any]:
    """Return every field of a run as it is shown."""
    return {"run": entry.identity[:8], **brief(entry.experiment)}


def _condition(word: str) -> Callable[[Entry], bool]:
    found = re.fullmatch(r"(\w+)([=~])(.*)", word)
    if found is None:
        raise ParameterError(
            f"{word!r} is no condition: write FIELD=VALUE (rule=krum) or FIELD~PART (attack~alie)."
        )
    name, sign, text = found.groups()
    check_field(name)
    if name == "run":
        return lambda entry: entry.identity.startswith(text) if sign == "=" else text in entry.identity
    if sign == "~":
        return lambda entry: text.lower() in _words(entry, name)
    return lambda entry: _equals(entry.experiment, name, text)


def _equals(spec: Experiment, name: str, text: str) -> bool:
    if name in READERS:
        return bool(READERS[name](text, spec) == getattr(spec, name))
    value = plain(spec)[name]
    return bool(value == (text.lower() if isinstance(value, str) else read_value(text)))


def _words(entry: Entry, name: str) -> str:
    """Return all spellings of a field, short and long."""
    values = (shown(entry)[name], plain(entry.experiment)[name], getattr(entry.experiment, name))
    return " ".join(map(str, values)).lower()
