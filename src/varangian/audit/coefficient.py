"""The coefficient: what is proven, what no rule can beat, and the worst that was found."""

from __future__ import annotations

import math
from collections.abc import Sequence

from varangian.audit.examination import Examined, Job
from varangian.audit.report import Finding
from varangian.audit.series import Axis, Curves, Heatmap, Line, Mark
from varangian.audit.sets import told
from varangian.core.stages import Stage

LOWER = "Allouah et al., AISTATS 2023"
SLACK = 1e-6
"""What rounding may add to a coefficient."""
LARGE = 10.0
"""Honest variances from which on an error is called large where no theorem sets a bound."""


def proven_of(rule: Stage, n: int, b: int, weighted: bool) -> float | None:
    """Return the proven coefficient against ``b`` liars: none with weights, or with more than declared."""
    if weighted or b > (rule.f or 0):
        return None
    return rule.kappa(n)


def lower_bound(n: int, b: int) -> float:
    """Return what no rule can do better than, f / (n - 2f); infinite for half of the vectors or more.

    >>> lower_bound(11, 2), lower_bound(4, 2)
    (0.2857142857142857, inf)
    """
    return b / (n - 2 * b) if n > 2 * b else math.inf


def condition(rule: Stage, n: int) -> Finding:
    """Return whether the theorem's condition on n holds."""
    needed = rule.condition()
    return Finding(
        "condition",
        "Enough vectors for the theorem",
        "pass" if needed.holds(n) else "refused",
        float(n),
        "vectors",
        f"{n}, and {needed.minimum} are needed",
        f"The rule's theorem needs {needed}.",
        float(needed.minimum),
        reference=rule.reference.short,
    )


def declared(rule: Stage, n: int, b: int) -> Finding:
    """Return whether as many are declared as lie."""
    f = rule.f or 0
    short = b > f
    half = 2 * b >= n
    return Finding(
        "declared",
        "Liars declared, and liars there",
        "refused" if half else "fail" if short else "pass",
        float(b),
        "liars",
        f"{f} declared, {b} lie",
        "Half of the vectors are lies: no rule can tell which half."
        if half
        else "The theorem of a rule speaks "
        "of at most f liars; too small an f can cost everything, too large a one about f/(n-2f).",
        float(f),
        f"Declare f = {b}." if short and not half else "",
        rule.reference.short,
    )


def proven(rule: Stage, n: int, b: int, weighted: bool) -> Finding:
    """Return the proven coefficient beside the least that any rule can have."""
    kappa, least = proven_of(rule, n, b, weighted), lower_bound(n, b)
    floor = f"No rule can promise less than f/(n-2f) = {least:.3g}."
    against = "against more liars than declared" if b > (rule.f or 0) else "for this rule"
    words = f"No coefficient is proven {'for weighted vectors' if weighted else against}."
    if kappa is not None:
        words = (
            f"Whoever lies and however, the squared error of the aggregate is at most {kappa:.3g} times the "
            f"variance of the honest vectors ({rule.guarantee})."
        )
    return Finding(
        "proven",
        "Proven coefficient",
        "not covered" if kappa is None else "pass",
        kappa,
        "kappa",
        "none" if kappa is None else f"{kappa:.3g}",
        f"{words} {floor}",
        least,
        reference=rule.reference.short,
    )


def coefficient(examined: Sequence[Examined], job: Job, exact: float) -> Finding:
    """Return the worst coefficient that was found, ``exact`` as the vectors themselves give it."""
    kappa = proven_of(job.rule, job.n, job.b, job.parties is not None)
    worst = max(examined, key=lambda one: one.worst.ratio)
    over = f"{told(job.n, job.b, len(job.sets))} in " if job.all_recorded else ""
    how = f"{len(worst.fixed)} fixed attacks and a search, over {over}{len(examined)} rounds"
    change = ""
    if math.isinf(exact):
        status, shown = "fail", "unbounded"
        words = f"Liars choose the output: it follows them as far as they go ({worst.worst.name})."
        change = "Take a rule with a proven coefficient, and declare as many liars as there may be."
    else:
        shown = f"{exact:.3g}"
        words = (
            f"The worst of {how}, moved the aggregate by {math.sqrt(exact):.2g} honest standard deviations "
            f"in round {worst.name} ({worst.worst.name})."
        )
        if kappa is not None and exact > kappa * (1 + SLACK):
            status = "fail"
            words += (
                f" That is more than the {kappa:.3g} that is proven: please report it, with the worst attack."
            )
        elif kappa is None and exact > LARGE:
            status = "warn"
            words += " No theorem bounds it, and it is large."
            change = "Take a rule with a proven coefficient."
        else:
            status = "pass"
    return Finding(
        "coefficient", "Worst coefficient found", status, exact, "kappa", shown, words, kappa, change, LOWER,
        ("coefficient", "attacks"),
    )  # fmt: skip


def by_round(examined: Sequence[Examined], job: Job) -> Curves:
    """Return the worst coefficient of each round, beside its bounds."""
    marks = []
    kappa, least = proven_of(job.rule, job.n, job.b, job.parties is not None), lower_bound(job.n, job.b)
    if kappa is not None:
        marks.append(Mark("y", kappa, "proven for every input"))
    if math.isfinite(least):
        marks.append(Mark("y", least, "no rule can promise less"))
    places = tuple(float(place) for place in range(1, len(examined) + 1))
    return Curves(
        "Coefficient by round, and its bounds",
        "The worst that was found in each round: squared error over honest variance.",
        Axis("round"),
        Axis("coefficient", "kappa"),
        (
            Line("searched", places, tuple(one.worst.ratio for one in examined)),
            Line("fixed attacks", places, tuple(max(one.fixed.values(), default=0.0) for one in examined)),
        ),
        tuple(marks),
    )


def by_attack(examined: Sequence[Examined]) -> Heatmap:
    """Return what each attack came to in each round."""
    attacks = tuple(examined[0].fixed)
    return Heatmap(
        "Coefficient of each round under each attack",
        "Squared error over honest variance; the last column is the worst, which is what counts.",
        "round",
        "attack",
        tuple(one.name for one in examined),
        (*attacks, "searched"),
        tuple((*(one.fixed.get(attack) for attack in attacks), one.worst.ratio) for one in examined),
        "kappa",
        "low",
    )
