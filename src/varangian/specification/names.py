"""Rules and attacks as they are spelled on the command line and in TOML files.

A stage is ``name`` or ``name:field=value,field=value``; a chain joins stages with ``+``. Names are those of
the classes, with or without hyphens, and the field's short ones: ``nnm+trmean``, ``cc:radius=1.5,steps=3``,
``optimal:ipm``. A rule per step is drawn from those joined with ``|``, each with its share in front if
shares differ: ``krum|median``, ``1*krum|3*median``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from varangian.aggregators import HALVES, RULES
from varangian.attacks import ATTACKS, ALittleIsEnough, Attack, LineAttack
from varangian.core.chain import chain
from varangian.core.stages import Stage
from varangian.errors import ParameterError, UnknownNameError
from varangian.mixers import MIXERS
from varangian.specification.mixture import RuleMixture

Kind = TypeVar("Kind")
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


def parse_rule(text: str, f: int) -> Stage | RuleMixture:
    """Return the rule, chain or mixture that a text spells, declaring ``f`` wherever the text does not.

    Raises UnknownNameError, ParameterError, ChainError.

    >>> parse_rule("nnm+trmean", f=2)
    chain(NearestNeighborMixing(f=2), TrimmedMean(f=2))
    >>> parse_rule("1*krum|3*median", f=2)
    RuleMixture(rules=(Krum(f=2), Median(f=2)), shares=(1.0, 3.0))
    """
    if "|" not in text:
        return _parse_chain(text, f)
    words = [part.rpartition("*") for part in text.split("|")]
    rules = tuple(_parse_chain(word, f) for _, _, word in words)
    told = [share.strip() for share, _, _ in words]
    if not any(told):
        return RuleMixture(rules)
    try:
        return RuleMixture(rules, tuple(float(share) for share in told))
    except ValueError as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(f"{text!r}: give each rule its share, as in 1*krum|3*median.") from None


def _parse_chain(text: str, f: int) -> Stage:
    words = text.split("+")
    parts = [_parse_stage(word, f) for word in words]
    # Who writes f for every stage means different ones; where one was filled in, it may be a slip.
    written = all(
        "f" in _read_fields(word.partition(":")[2]) or part.f is None
        for word, part in zip(words, parts, strict=True)
    )
    return parts[0] if len(parts) == 1 else chain(*parts, allow_different_f=written)


def parse_attack(text: str) -> Attack | None:
    """Return the attack that a text spells; ``none`` is no attack.

    An attack within another is its last field, and takes all that follows.

    >>> parse_attack("optimal:ipm").attack
    InnerProductManipulation()
    >>> parse_attack("optimal:rounds=3,attack=ipm:epsilon=0.5")
    Optimal(attack=InnerProductManipulation(epsilon=0.5), rounds=3)
    """
    if text.strip().lower() == "none":
        return None
    name, colon, rest = text.strip().partition(":")
    kind = _look_up("attack", name, attack_names())
    if "attack" not in _fields(kind):
        return _make(kind, text, _read_fields(rest), {})
    own, nested, inner = rest.partition("attack=")
    if colon and "=" not in rest.partition(":")[0]:
        own, nested, inner = "", "attack=", rest
    line = parse_attack(inner) if nested else ALittleIsEnough()
    if not isinstance(line, LineAttack):
        raise ParameterError(f"{name}:{rest} needs an attack on a line, for instance {name}:alie.")
    return _make(kind, text, _read_fields(own), {"attack": line})


def parse_named(what: str, text: str, kinds: Iterable[type[Kind]], declared: Mapping[str, Any]) -> Kind:
    """Return the value of one of some classes that a text spells, with the fields that it leaves to others.

    Raises UnknownNameError, ParameterError.

    >>> from varangian.mixers import Bucketing
    >>> parse_named("mixer", "bucketing:s=3", [Bucketing], {"f": 1})
    Bucketing(f=1, s=3)
    """
    name, _, rest = text.strip().partition(":")
    kind = _look_up(what, name, {canonical(one): one for one in kinds})
    known = _read_fields(rest)
    left = {
        field: value for field, value in declared.items() if field in _fields(kind) and field not in known
    }
    return _make(kind, text, known, left)


def _parse_stage(text: str, f: int) -> Stage:
    name, _, rest = text.strip().partition(":")
    kind = _look_up("rule or mixer", name, {**_spellings(HALVES), **rule_names()})
    known = _read_fields(rest)
    declared = {} if "f" in known or not _required(kind, "f") else {"f": f}
    return _make(kind, text, known, declared)


def _spellings(kinds: Iterable[type[Kind]]) -> dict[str, type[Kind]]:
    """Return classes by all their names."""
    spelled: dict[str, type[Kind]] = {}
    for kind in kinds:
        for name in (canonical(kind), kind.__name__.lower(), *getattr(kind, "short_names", ())):
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
