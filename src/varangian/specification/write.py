"""An experiment -> the TOML file that reads as the same experiment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from functools import cache
from typing import Any

from varangian.errors import ParameterError
from varangian.specification.experiment import Experiment
from varangian.specification.spell import spell_attack, spell_privacy, spell_rate, spell_rule, spell_split

ALWAYS = ("data", "model", "workers", "byzantine", "rule", "attack", "steps", "seed")
"""Fields that a file states even where they are the defaults."""


def to_toml(spec: Experiment) -> str:
    """Return the experiment as TOML: what it is called by, and what differs from the defaults.

    ``from_toml`` of it is equal to the experiment, and equal experiments give the same text.

    Raises      ParameterError for a data set, model, rule, attack, split or schedule of your own

    >>> from varangian.aggregators import Krum
    >>> print(to_toml(Experiment(rule=Krum(f=2), byzantine=2, learning_rate=1, clip=2)), end="")
    data = "digits"
    model = "mlp"
    workers = 20
    byzantine = 2
    rule = "krum:f=2"
    attack = "none"
    steps = 100
    learning_rate = 1.0
    clip = 2.0
    seed = 1
    """
    told, usual = plain(spec), _defaults()
    named = [name for name in told if name in ALWAYS or told[name] != usual[name]]
    return "".join(f"{name} = {literal(told[name])}\n" for name in named)


def plain(spec: Experiment) -> dict[str, Any]:
    """Return every field as a value that TOML has, or None; ``from_strings`` reads those that are not None.

    Raises      ParameterError for what has no spelling
    """
    return {field.name: _plain(field, getattr(spec, field.name)) for field in fields(spec)}


def literal(value: Any) -> str:
    r"""Return a value as TOML writes it.

    >>> literal("a\t\"b\""), literal(True), literal({"steps": [0, 5], "rates": [0.1, 1e300]})
    ('"a\\t\\"b\\""', 'true', '{ steps = [0, 5], rates = [0.1, 1e+300] }')
    """
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            return f"{{ {', '.join(f'{name} = {literal(inner)}' for name, inner in value.items())} }}"
        case list():
            return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def _plain(field: Field[Any], value: Any) -> Any:
    if field.name in SPELLINGS:
        return SPELLINGS[field.name](value)
    if value is None or isinstance(value, (str, bool)):
        return value
    return float(value) + 0.0 if "float" in str(field.type) else int(value)  # -0.0 is 0.0


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ParameterError(
            f"Experiment({what}=...) is a {type(value).__name__} of your own, which no file can name. "
            "Take one of the catalogue by its name, or keep the result of vg.run(...) yourself."
        )
    return value.lower()


SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "data": lambda value: _name("data", value),
    "data_dir": lambda value: None if value is None else os.fsdecode(value),
    "model": lambda value: _name("model", value),
    "rule": spell_rule,
    "attack": spell_attack,
    "split": spell_split,
    "learning_rate": spell_rate,
    "privacy": spell_privacy,
}


@cache
def _defaults() -> dict[str, Any]:
    return plain(Experiment())
