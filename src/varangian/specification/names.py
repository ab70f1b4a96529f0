"""Rules and attacks as they are spelled on the command line and in TOML files.

A stage is ``name`` or ``name:field=value,field=value``; a chain joins stages with ``+``. Names are those of
the classes, with or without hyphens, and the field's short ones: ``nnm+trmean``, ``cc:radius=1.5,steps=3``,
``optimal:ipm``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from varangian.aggregators import RULES
from varangian.attacks import ATTACKS, Attack, LineAttack
from varangian.core.chain import chain
from varangian.core.stages import Stage
from varangian.errors import ParameterError, UnknownNameError
from varangian.mixers import MIXERS

Kind = TypeVar("Kind", bound="Stage | Attack")
CONSTANTS = {"none": None, "true": True, "false": False}


def rule_names() -> dict[str, type[Stage]]:
    """Return every spelling of a rule or a mixer."""
    return _spellings((*RULES, *MIXERS))


def attack_names() -> dict[str, type[Attack]]:
    """Return every spelling of an attack."""
    return _spellings(ATTACKS)


def canonical(kind: type) -> str:
    """Return a class's name as it is listed: in lower case, hyphens between words.

    >>> from varangian.aggregators import MeanAroundMedian, MoNNA
    >>> from varangian.attacks import ALittleIsEnough
    >>> [canonical(kind) for kind in (MeanAroundMedian, MoNNA, ALittleIsEnough)]
    ['mean-around-median', 'monna', 'a-little-is-enough']
    """
    hyphened = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=^A)(?=[A-Z][a-z])", "-", kind.__name__)
    return hyphened.lower()


def parse_rule(text: str, f: int) -> Stage:
    """Return the rule or chain that a text spells, declaring ``f`` wherever the text does not.

    Raises UnknownNameError, ParameterError, ChainError.

    >>> parse_rule("nnm+trmean", f=2)
    chain(NearestNeighborMixing(f=2), TrimmedMean(f=2))
    """
    parts = [_parse_stage(part, f) for part in text.split("+")]
    return parts[0] if len(parts) == 1 else chain(*parts)


def parse_attack(text: str) -> Attack | None:
    """Return the attack that a text spells; ``none`` is no attack.

    >>> parse_attack("optimal:ipm").attack
    InnerProductManipulation()
    """
    if text.strip().lower() == "none":
        return None
    name, colon, rest = text.strip().partition(":")
    kind = _look_up("attack", name, attack_names())
    if "attack" in _fields(kind) and colon and "=" not in rest.partition(":")[0]:
        inner = parse_attack(rest)
        if not isinstance(inner, LineAttack):
            raise ParameterError(f"{name}:{rest} needs an attack on a line, for instance {name}:alie.")
        return kind(attack=inner)  # type: ignore[call-arg]
    return _make(kind, text, _read_fields(rest), {})


def _parse_stage(text: str, f: int) -> Stage:
    name, _, rest = text.strip().partition(":")
    kind = _look_up("rule or mixer", name, rule_names())
    known = _read_fields(rest)
    declared = {} if "f" in known or not _required(kind, "f") else {"f": f}
    return _make(kind, text, known, declared)


def _spellings(kinds: Iterable[type[Kind]]) -> dict[str, type[Kind]]:
    spelled: dict[str, type[Kind]] = {}
    for kind in kinds:
        for name in (canonical(kind), kind.__name__.lower(), *kind.short_names):
            spelled[name] = kind
    return spelled


def _look_up(what: str, name: str, known: Mapping[str, type[Kind]]) -> type[Kind]:
    kind = known.get(name.strip().lower())
    if kind is None:
        raise UnknownNameError(what, name, known, sorted({canonical(kind) for kind in known.values()}))
    return kind


def _fields(kind: type[Any]) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(kind)}


def _required(kind: type[Any], name: str) -> bool:
    field = _fields(kind).get(name)
    return field is not None and field.default is MISSING and field.default_factory is MISSING


def _read_fields(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(f"{pair!r} is no field=value pair; write name:field=value,field=value.")
        values[name.strip()] = value.strip()
    return values


def read_value(text: str) -> Any:
    """Return the number, the constant or the word that a text spells."""
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _make(kind: type[Kind], text: str, given: dict[str, str], declared: dict[str, Any]) -> Kind:
    known = _fields(kind)
    for name in given:
        if name not in known:
            raise UnknownNameError(f"field of {kind.__name__}", name, known)
    missing = [name for name in sorted(known) if _required(kind, name) and name not in {**given, **declared}]
    if missing:
        raise ParameterError(f"{text!r} needs {', '.join(missing)}: write {canonical(kind)}:{missing[0]}=...")
    values = {
        name: word if known[name].type in ("str", str) else read_value(word) for name, word in given.items()
    }
    return kind(**declared, **values)
