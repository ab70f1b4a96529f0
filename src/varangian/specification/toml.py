"""Experiments from TOML files and from ``field=value`` words."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from varangian.data import parse_split
from varangian.errors import DataError, ParameterError, UnknownNameError
from varangian.optim import InverseDecay, Piecewise, Schedule
from varangian.specification.experiment import Experiment
from varangian.specification.names import parse_attack, parse_rule, read_value
from varangian.specification.privacy import parse_privacy

SPELLED = ("rule", "attack", "split", "data", "data_dir", "model", "loss", "device", "privacy")
"""Fields whose words are text, whatever they look like."""
NAMES = (*(field.name for field in fields(Experiment)), "f")


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields that a TOML file gives. Raises DataError, ParameterError."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not TOML: {error}.") from None


def from_toml(path: str | os.PathLike[str], **given: Any) -> Experiment:
    """Return the experiment that a TOML file describes, with the fields given here put over it."""
    return from_strings({**read_toml(path), **given})


def from_strings(given: Mapping[str, Any]) -> Experiment:
    """Return the experiment of fields whose rule, attack, split and schedule may be spelled as text.

    ``f`` is what the server declares; without it, the number of liars.

    Raises      UnknownNameError, ParameterError, ToleranceError, ChainError

    >>> from_strings({"workers": 11, "byzantine": 2, "rule": "krum", "attack": "alie"}).rule
    Krum(f=2)
    """
    chosen = dict(given)
    for name in chosen:
        if name not in NAMES:
            raise UnknownNameError("field of an experiment", name, NAMES)
    for name in ("byzantine", "f"):
        if isinstance(chosen.get(name, 0), bool) or not isinstance(chosen.get(name, 0), int):
            raise ParameterError(f"Experiment({name}={chosen[name]!r}): {name} must be a whole number.")
    if "f" in chosen and not isinstance(chosen.get("rule"), str):
        raise ParameterError(
            f'f = {chosen["f"]} belongs to a rule spelled as text (rule = "krum", say); '
            "a rule that is a value declares its own."
        )
    f = chosen.pop("f", chosen.get("byzantine", 0))
    readers: dict[str, Callable[[Any], Any]] = {
        "rule": lambda text: parse_rule(text, f),
        "attack": parse_attack,
        "split": parse_split,
    }
    for name, read in readers.items():
        if isinstance(chosen.get(name), str):
            chosen[name] = read(chosen[name])
    if isinstance(chosen.get("learning_rate"), Mapping):
        chosen["learning_rate"] = _schedule(chosen["learning_rate"])
    if isinstance(chosen.get("privacy"), (str, Mapping)):
        chosen["privacy"] = parse_privacy(chosen["privacy"])
    return Experiment(**chosen)


def read_pair(text: str) -> tuple[str, Any]:
    """Return the field and the value of ``field=value``. Raises ParameterError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ParameterError(f"{text!r} is neither a TOML file nor field=value (learning_rate=0.1, say).")
    return name.strip(), value if name.strip() in SPELLED else read_value(value)


def _schedule(table: Mapping[str, Any]) -> Schedule:
    """Read {initial, decay, every} or {steps = [...], rates = [...]}."""
    if set(table) == {"steps", "rates"}:
        steps, rates = table["steps"], table["rates"]
        if isinstance(steps, list) and isinstance(rates, list) and len(steps) == len(rates):
            return Piecewise(tuple(zip(steps, rates, strict=True)))
    if {"initial", "decay"} <= set(table) <= {"initial", "decay", "every"}:
        return InverseDecay(**table)
    raise ParameterError(
        f"learning_rate = {dict(table)!r}: write a number, {{initial, decay, every}}, "
        "or {steps, rates} of one length."
    )
