"""Promises about the stage itself: a value with a theorem, that reads its input twice."""

from __future__ import annotations

import dataclasses
import math
import pickle

import torch

import varangian
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.needs import Pivot, Reads
from varangian.core.stages import ScalingMixer, Stage
from varangian.testing.promises import demand, promise
from varangian.testing.subject import Subject

SIZES = 12
"""Numbers of vectors, from the least on, for which a coefficient is checked."""


def _classes(stage: Stage) -> dict[str, type]:
    parts = getattr(stage, "parts", ())
    return {type(part).__name__: type(part) for part in (stage, *stage.stages(), *parts)}


@promise("A stage is a value: frozen, hashable, picklable, equal to its copy, and its repr makes it again.")
def value(subject: Subject) -> None:
    """Check what a frozen dataclass promises."""
    stage = subject.stage
    demand(
        dataclasses.is_dataclass(stage), "no dataclass. Decorate it with @dataclass(frozen=True).", subject
    )
    first = dataclasses.fields(stage)[0].name  # type: ignore[arg-type]
    try:
        setattr(stage, first, getattr(stage, first))
    except dataclasses.FrozenInstanceError:
        pass
    else:
        demand(False, f"its field {first} can be set. Decorate it with @dataclass(frozen=True).", subject)
    copies = {
        "dataclasses.replace": dataclasses.replace(stage),  # type: ignore[type-var]
        "pickle": pickle.loads(pickle.dumps(stage)),
        "eval(repr)": eval(repr(stage), {**vars(varangian), **_classes(stage)}),
    }
    for name, copied in copies.items():
        demand(copied == stage, f"{copied!r} from {name}.", subject)
        demand(hash(copied) == hash(stage), f"another hash from {name}.", subject)


@promise("A stage says what it needs, what it costs and where it comes from.")
def documented(subject: Subject) -> None:
    """Check the condition, guarantee, cost, reference and docstring."""
    stage = subject.stage
    condition = stage.condition()
    demand(isinstance(condition, Condition), f"condition() returns {condition!r}, not a Condition.", subject)
    demand(condition.minimum >= 1, f"a least n of {condition.minimum}; no vectors are no input.", subject)
    for name, wanted in (("cost", str), ("guarantee", str), ("reference", Reference)):
        found = getattr(stage, name, None)
        demand(
            isinstance(found, wanted) and bool(found),
            f"{name} = {found!r}; set the class attribute.",
            subject,
        )
    words = (type(stage).__doc__ or "").strip()
    generated = words.startswith(f"{type(stage).__name__}(")
    demand(bool(words) and not generated, "no docstring. Say in one sentence what comes out.", subject)


@promise("A declared coefficient is one that a rule can have.")
def coefficients(subject: Subject) -> None:
    """Check kappa and the variance bound: numbers, not below what is possible for any rule."""
    stage, f = subject.stage, subject.faults
    for n in range(subject.least, subject.least + SIZES):
        kappa = stage.kappa(n)
        if kappa is not None:
            demand(math.isfinite(kappa), f"kappa({n}) = {kappa}.", subject)
            demand(n > 2 * f, f"kappa({n}) = {kappa} where liars may be half.", subject)
            floor = f / (n - 2 * f)
            enough = kappa >= floor * (1 - 1e-12)
            demand(enough, f"kappa({n}) = {kappa}, below f/(n-2f) = {floor}, which no rule beats.", subject)
        bound = stage.variance_bound(n, subject.d)
        demand(bound is None or bound > 0, f"variance_bound({n}, {subject.d}) = {bound}.", subject)


def reads_due(stage: Stage) -> int:
    """Return how often a chain may read its vectors: to measure, after a scaling, and to combine.

    A median pivot is one more measurement: the mixed vectors' median exists only after mixing.
    """
    parts = stage.stages()
    measures = 0
    known = Reads.NOTHING
    for part in parts:
        special = Pivot.MEDIAN in part.pivots
        if special or part.reads > known:
            measures += 1
            known = known if special else part.reads
        if isinstance(part, ScalingMixer) and known > Reads.NORMS:
            known = Reads.NOTHING
    return measures + 1


@promise(
    "The vectors are read at most twice, three times after a scaling, once where coordinates decide alone."
)
def reads(subject: Subject) -> None:
    """Check the passes that a call on ordinary vectors counts."""
    due = reads_due(subject.stage)
    for seed in range(3):
        trial = subject.trial(seed, d=64, dtype=torch.float32)
        count = subject.run(trial.x, trial.pivot).reads
        demand(1 <= count <= due, f"{count} reads where {due} are due.", subject)
