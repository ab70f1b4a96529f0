"""Which runs belong together: one line per label, its seeds averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from typing import Any

from varangian.attacks import Attack
from varangian.core.chain import Chain
from varangian.core.stages import Stage
from varangian.data import Split
from varangian.errors import ParameterError, UnknownNameError
from varangian.experiments.view import Run
from varangian.specification import Experiment, RuleMixture
from varangian.specification.names import canonical

By = str | Sequence[str] | Callable[[Experiment], str]
"""What tells runs apart: a field of the experiment, several, or a function of it."""
SILENT = ("f", "as_released")
"""Fields that are not told: they are the same in all of a figure."""


def label(value: Any) -> str:
    """Return the shortest words for the value of a field.

    >>> from varangian.specification import parse_attack, parse_rule
    >>> label(parse_rule("nnm+cc:radius=1.5", f=2)), label(parse_attack("alie:z=1.5")), label(None)
    ('nnm+cc:radius=1.5', 'alie:z=1.5', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, Chain):
        return "+".join(map(label, value.parts))
    if isinstance(value, RuleMixture):
        return " or ".join(map(label, value.rules))
    if isinstance(value, Stage | Attack | Split):
        short = getattr(value, "short_names", ())
        name = short[0] if short else canonical(type(value))
        given = ",".join(f"{field}={_part(part)}" for field, part in _given(value))
        return f"{name}:{given}" if given else name
    return f"{value:g}" if isinstance(value, float) else str(value)


def _part(value: Any) -> str:
    return label(value) if isinstance(value, Stage | Attack | float) else str(value)


def _given(value: Any) -> list[tuple[str, Any]]:
    told = []
    for field in fields(value):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        held = getattr(value, field.name)
        if field.name not in SILENT and held != default:
            told.append((field.name, held))
    return told


def name_of(experiment: Experiment, by: By) -> str:
    """Return the label of an experiment among others. Raises UnknownNameError for a field it has not.

    >>> name_of(Experiment(), ("rule", "seed")), name_of(Experiment(), lambda spec: spec.model)
    ('mean, seed 1', 'mlp')
    """
    if callable(by):
        return by(experiment)
    if isinstance(by, str):
        return _field(experiment, by)
    return ", ".join(_field(experiment, name, told=name not in PLAIN) for name in by)


PLAIN = ("rule", "attack", "data", "model", "split")
"""Fields whose values say what they are."""


def _field(experiment: Experiment, name: str, *, told: bool = False) -> str:
    known = [field.name for field in fields(experiment)]
    if name not in known:
        raise UnknownNameError("field of an experiment", name, known)
    value = label(getattr(experiment, name))
    if name == "attack" and value == "none":
        return "no attack"
    return f"{name.replace('_', ' ')} {value}" if told else value


def grouped(runs: Iterable[Run], by: By) -> dict[str, list[Run]]:
    """Return the runs by label, in the order in which labels come. Raises ParameterError without runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(name_of(run.experiment, by), []).append(run)
    if not groups:
        raise ParameterError("A figure needs at least one run; there are none.")
    return groups


def check_seeds(groups: Mapping[str, Sequence[Run]], where: str) -> None:
    """Refuse to average runs that differ in more than their seed, or not at all. Raises ParameterError."""
    for name, runs in groups.items():
        first, *others = [replace(run.experiment, seed=0) for run in runs]
        for other in others:
            differ = [
                field.name
                for field in fields(first)
                if getattr(first, field.name) != getattr(other, field.name)
            ]
            if differ:
                raise ParameterError(
                    f"{name!r} ({where}) would average runs that differ in {', '.join(differ)}, not only in "
                    f"their seed. Tell runs apart by {differ[0]!r} as well, or draw fewer of them."
                )
        if len({run.experiment.seed for run in runs}) < len(runs):
            raise ParameterError(
                f"{name!r} ({where}) would average the same run twice. Give every experiment once."
            )
