"""Train under attack: the accuracy that is left, by rule, by attack, and by how many really lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from varangian.aggregators import Average, GeometricMedian, Krum, Median
from varangian.attacks import (
    ALittleIsEnough,
    Attack,
    InnerProductManipulation,
    LabelFlip,
    Mimic,
    MinMax,
    Optimal,
    SignFlip,
)
from varangian.core.guard import declare
from varangian.core.stages import Stage
from varangian.engines import Progress, Result, batches
from varangian.errors import ToleranceError
from varangian.experiments.run import run
from varangian.specification import Experiment
from varangian.specification.spell import spell_attack

ATTACKS: tuple[Attack, ...] = (
    SignFlip(),
    InnerProductManipulation(),
    ALittleIsEnough(z=1.5),
    Mimic(),
    MinMax(),
    LabelFlip(),
    Optimal(),
    Optimal(InnerProductManipulation()),
)
"""What every rule is trained under."""
OTHERS: tuple[Callable[[int], Stage], ...] = (
    lambda f: Average(),
    lambda f: Median(f=f),
    lambda f: Krum(f=f),
    lambda f: GeometricMedian(f=f),
)
"""The rules beside the audited one."""
WORST = 3
"""With how many attacks other numbers of liars are tried: those that did most harm."""
COUNTS = 6
"""Numbers of liars that are tried, at most, besides the one that is audited."""

Watch = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of all runs: calm ones, the rule and others under each attack, and by the number of liars.

    Accuracies are of the last evaluation, 0..1, and 0 for what diverged; ``parameters`` are the final ones of
    the calm run.
    """

    averaged: float
    calm: float
    by_rule: Mapping[str, tuple[float | None, ...]]
    attacks: tuple[str, ...]
    by_liars: Mapping[int, float]
    averaged_by_liars: Mapping[int, float]
    worst: Experiment
    condition: float | None
    parameters: Tensor


def trained(spec: Experiment, b: int, names: Callable[[Stage], str], watch: Watch | None = None) -> Trained:
    """Return what an experiment comes to with nobody lying, and with ``b`` liars under each attack.

    Raises      what the rule or the attacks raise
    """
    assert isinstance(spec.rule, Stage)
    calm = replace(spec, byzantine=0, attack=None)
    attacks = _with_own(spec.attack)
    rules = {names(spec.rule): spec.rule}
    for make in OTHERS:
        other = make(b)
        if other.condition().holds(spec.workers):
            rules.setdefault(names(other), other)
    quiet = [replace(calm, rule=Average()), calm]
    loud = [
        replace(spec, byzantine=b, rule=rule, attack=attack) for rule in rules.values() for attack in attacks
    ]
    counts = _counts(spec.workers, b)
    total = (len(quiet) + len(loud) + (WORST + 1) * len(counts)) * spec.steps
    meter = _Meter(total, watch)
    results = [result for part in _parts([*quiet, *loud]) for result in run(part, meter.part(part))]
    accuracy = [_accuracy(result) for result in results]
    averaged, without, table = accuracy[0], accuracy[1], accuracy[2:]
    rows = {name: tuple(table[i * len(attacks) : (i + 1) * len(attacks)]) for i, name in enumerate(rules)}
    own = rows[names(spec.rule)]
    order = sorted(range(len(attacks)), key=own.__getitem__)
    hardest = [attacks[i] for i in order[:WORST]]
    curve = [replace(spec, byzantine=count, attack=attack) for count in counts for attack in hardest]
    reached = [_accuracy(one) for part in _parts(curve) for one in run(part, meter.part(part))]
    by_liars = {0: without, b: min(own)} | {
        count: min(reached[i * WORST : (i + 1) * WORST]) for i, count in enumerate(counts)
    }
    flat = [replace(spec, byzantine=count, rule=Average(), attack=Optimal()) for count in counts]
    means = [_accuracy(one) for one in run(flat, meter.part(flat))] if flat else []
    worst = loud[order[0]]
    held = results[2 + order[0]].metrics.get("condition_holds")
    return Trained(
        averaged,
        without,
        rows,
        tuple(spell_attack(attack) for attack in attacks),
        dict(sorted(by_liars.items())),
        dict(sorted({0: averaged, **dict(zip(counts, means, strict=True))}.items())),
        worst,
        None if held is None else sum(held) / len(held),
        results[1].parameters,
    )


def tolerable(trained: Trained, loss: float) -> int:
    """Return how many liars are withstood: up to so many, no number of them costs more than ``loss``."""
    withstood = 0
    for count, accuracy in trained.by_liars.items():
        if accuracy < trained.averaged - loss:
            break
        withstood = count
    return withstood


def largest_declared(rule: Stage, n: int) -> int:
    """Return the largest f that the rule could declare for n vectors.

    >>> largest_declared(Krum(f=1), 11)
    4
    """
    f = rule.f or 0
    try:
        while declare(rule, f + 1).condition().holds(n):
            f += 1
    except (ToleranceError, TypeError):
        return f
    return f


def _with_own(attack: Attack | None) -> list[Attack]:
    chosen = list(ATTACKS)
    if attack is not None and attack not in chosen:
        chosen.append(attack)
    return chosen


def _counts(n: int, b: int) -> list[int]:
    """Return other numbers of liars, around the one that is audited and beyond."""
    most = max(1, (n - 1) // 2)
    wanted = [b // 2, b - 1, b + 1, b + 2, (b + most + 1) // 2, most]
    return sorted({count for count in wanted if 0 < count < n and count != b})[:COUNTS]


def _parts(specs: Sequence[Experiment], size: int = 8) -> list[list[Experiment]]:
    """Cut runs into parts, after each of which it can be told how long the rest will take."""
    return [list(specs[i : i + size]) for i in range(0, len(specs), size)]


def _accuracy(result: Result) -> float:
    return 0.0 if result.diverged or math.isnan(result.accuracy) else result.accuracy


class _Meter:
    """Counts the steps of all runs; of a batch, every step counts for all of its runs."""

    def __init__(self, total: int, watch: Watch | None) -> None:
        self.total, self.done, self.watch = total, 0.0, watch

    def part(self, specs: Sequence[Experiment]) -> Callable[[Progress], None]:
        """Return what is to be told of the steps of some runs."""
        each = len(specs) / len(batches(specs))

        def told(progress: Progress) -> None:
            self.done += each
            if self.watch is not None:
                self.watch(round(self.done), self.total)

        return told
