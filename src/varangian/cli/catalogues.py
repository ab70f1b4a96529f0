"""The catalogues, as rows of plain values that the entries tell of themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from varangian.aggregators import RULES
from varangian.attacks import ATTACKS, Sight
from varangian.core.citations import Reference
from varangian.core.stages import Stage
from varangian.data import DATASETS, parse_split
from varangian.mixers import MIXERS
from varangian.models import MODELS
from varangian.neurons import FAULTS
from varangian.specification.names import canonical

Row = dict[str, Any]
SIGHTS = {
    Sight.NOTHING: "nothing",
    Sight.OWN: "its own data",
    Sight.HONEST: "what honest workers send",
    Sight.RULE: "the same, and the rule",
}
EXAMPLES: dict[str, Any] = {"f": 1, "radius": 1.0}
SPLITS = ("iid", "dirichlet:0.3", "shards:2", "similarity:0.5", "sizes:100,200,300", "pooled", "blocks:20")
"""A spelling of each split."""


def stages(kinds: Sequence[type[Stage]]) -> list[Row]:
    """Return a row per rule or mixer; its condition is that of the stage with f = 1."""
    return [
        {
            **_named(kind),
            "condition": _example(kind).condition().words,
            "guarantee": kind.guarantee,
            "cost": kind.cost,
            "weights": kind.weighted,
            "reference": kind.reference.short,
        }
        for kind in kinds
    ]


def attacks() -> list[Row]:
    """Return a row per attack."""
    return [
        {
            **_named(kind),
            "sees": SIGHTS[kind.sees],
            "does": _summary(kind),
            "reference": _short(kind.reference),
        }
        for kind in ATTACKS
    ]


def datasets() -> list[Row]:
    """Return a row per data set."""
    return [
        {
            "name": source.name,
            "holds": source.summary,
            "input": " x ".join(map(str, source.input_shape)),
            "classes": source.classes,
            "train": source.train_size,
            "test": source.test_size,
            "reference": source.reference.short,
        }
        for source in DATASETS
    ]


def models() -> list[Row]:
    """Return a row per model."""
    return [
        {
            "name": model.name,
            "is": model.summary,
            "loss": model.loss,
            "reference": model.reference.short,
        }
        for model in MODELS
    ]


def splits() -> list[Row]:
    """Return a row per split."""
    return [{"written": text, "does": _summary(type(parse_split(text)))} for text in SPLITS]


def faults() -> list[Row]:
    """Return a row per fault of a model's own parts."""
    return [
        {
            "name": canonical(kind),
            "strikes": "everything" if kind.everywhere else "some",
            "fields": _fields(kind),
            "does": _summary(kind),
            "reference": kind.reference.short,
        }
        for kind in FAULTS
    ]


CATALOGUES: dict[str, Callable[[], list[Row]]] = {
    "rules": lambda: stages(RULES),
    "mixers": lambda: stages(MIXERS),
    "attacks": attacks,
    "datasets": datasets,
    "models": models,
    "splits": splits,
    "faults": faults,
}


def _named(kind: Any) -> Row:
    return {"name": canonical(kind), "short names": list(kind.short_names), "fields": _fields(kind)}


def _fields(kind: type[Any]) -> list[str]:
    """Return the fields, with their defaults where they have one.

    >>> from varangian.mixers import Bucketing
    >>> _fields(Bucketing)
    ['f', 's=2']
    """
    defaults = ((field.name, _default(field)) for field in fields(kind))
    return [name if value is MISSING else f"{name}={value!r}" for name, value in defaults]


def _default(field: Field[Any]) -> Any:
    """Return a field's default, MISSING where it has none."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _example(kind: type[Stage]) -> Stage:
    required = (field.name for field in fields(kind) if _default(field) is MISSING)  # type: ignore[arg-type]
    return kind(**{name: EXAMPLES[name] for name in required})


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "").rstrip(".")


def _short(reference: Reference | None) -> str | None:
    return reference.short if reference else None
