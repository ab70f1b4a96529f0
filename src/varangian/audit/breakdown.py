"""Where a rule breaks, by how many lie and what they weigh; and what it costs while nobody does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from varangian.aggregators import Krum, Median, TrimmedMean
from varangian.audit.effort import QUICK
from varangian.audit.examination import Examined, Job
from varangian.audit.measured import Measured, measure
from varangian.audit.report import Finding
from varangian.audit.search import search
from varangian.audit.series import Axis, Curves, Line, Mark
from varangian.audit.training import largest_declared
from varangian.core.guard import declare
from varangian.core.needs import Pivot
from varangian.core.parties import Parties
from varangian.core.stages import Stage
from varangian.specification.spell import spell_rule

ERROR = Axis("error", "honest standard deviations")
SETS = 8
"""Honest sets that are looked at for another number of liars than the audited."""


def by_liars(seen: Measured, job: Job) -> Curves:
    """Return the error in one round against how many really lie, declared or not."""
    counts = [b for b in range(job.n) if b <= (job.rule.f or 0) + 2 and 2 * b <= job.n + 1]
    if len(counts) > 12:
        counts = sorted({*counts[:: -(-len(counts) // 10)], *counts[-4:]})
    seen = _measured_for(seen, job.rule, max(1, job.b))
    errors = [_quick(seen, replace(job, b=b)) for b in counts]
    return Curves(
        "Error against the number of liars",
        "The worst error found in the worst round, for each number of clients that really lie.",
        Axis("liars", "clients"),
        ERROR,
        (Line(spell_rule(job.rule), tuple(map(float, counts)), tuple(errors)),),
        (Mark("x", float(job.rule.f or 0), "declared f"),),
    )


def by_weight(seen: Measured, job: Job, shares: Sequence[float]) -> Curves:
    """Return the error in one round when one party lies, against its share of the weight."""
    assert job.parties is not None
    order = sorted(range(job.n), key=shares.__getitem__)
    seen, alone = _measured_for(seen, job.rule, 1), replace(job, b=1)
    errors = [
        math.sqrt(search(alone.ground(seen, tuple(i for i in range(job.n) if i != liar)), QUICK).ratio)
        for liar in order
    ]
    return Curves(
        "Error against the weight of one liar",
        "The worst error found in the worst round when one party alone lies, for each party by its share.",
        Axis("share of the liar", "of the weight"),
        ERROR,
        (Line(spell_rule(job.rule), tuple(shares[i] for i in order), tuple(errors)),),
        (Mark("x", job.parties.mass, "mass that liars may hold"),),
    )


def caution(examined: Sequence[Examined], job: Job) -> tuple[Finding, Curves]:
    """Return how far the aggregate is from the mean with nobody lying, against the f that is declared."""
    others = [rule for rule in (TrimmedMean(f=1), Median(f=1), Krum(f=1)) if job.parties is None]
    lines = []
    m = len(examined[0].outline.columns)
    for rule in (job.rule, *others):
        name, most = spell_rule(rule).split(":f=")[0] if rule in others else spell_rule(job.rule), 0
        if rule is not job.rule and type(rule) is type(job.rule):
            continue
        if rule.f is None or rule.missing:
            errors = {0: _calm_error(examined, rule, job)}
        else:
            most = largest_declared(declare(rule, 0), m)
            errors = {f: _calm_error(examined, declare(rule, f), job) for f in _spaced(most)}
        lines.append(Line(name, tuple(map(float, errors)), tuple(errors.values())))
    f = job.rule.f or 0
    own = dict(zip(lines[0].x, lines[0].y, strict=True))
    at = own.get(float(f))
    if at is None:
        at = _calm_error(examined, job.rule, job) if job.rule.condition().holds(m) else None
    curves = Curves(
        "The price of caution",
        "How far the aggregate is from the honest mean while nobody lies, against the f that is declared.",
        Axis("declared f", "clients"),
        ERROR,
        tuple(lines),
        (Mark("x", float(f), "declared f"),),
    )
    words = f"While nobody lies, declaring f = {f} keeps the aggregate this far from the mean of all."
    finding = Finding(
        "caution",
        "Price of caution",
        "not covered" if at is None else "pass",
        at,
        "honest standard deviations",
        "not measured" if at is None else f"{at:.2g}",
        words,
        series=("breakdown_declared",),
    )
    return finding, curves


def _measured_for(seen: Measured, rule: Stage, b: int) -> Measured:
    """Return what a look at a round tells where ``b`` are to attack it: another look if it was for others."""
    return seen if seen.b == b else measure(seen.round, rule, b)


def _quick(seen: Measured, job: Job) -> float | None:
    """Return the worst error that a quick look finds, or None where the rule cannot be applied."""
    if not job.all_recorded:
        job = replace(job, n=seen.m + job.b)
    elif job.parties is not None:
        held = sorted(job.parties.shares.tolist(), reverse=True)
        job = replace(job, parties=Parties(job.parties.shares, max(job.parties.mass, sum(held[: job.b]))))
    if not job.rule.condition().holds(job.n):
        return None
    sets = job.sets
    some = sets[:: max(1, len(sets) // SETS)][:SETS]
    return math.sqrt(max(search(job.ground(seen, honest), QUICK).ratio for honest in some))


def _calm_error(examined: Sequence[Examined], rule: Stage, job: Job) -> float:
    """Return the error with nobody lying, over rounds: the root of the mean square, on what is kept."""
    squares = []
    for one in examined:
        x = one.outline.columns.double()
        options: dict[str, Any] = {"stream": job.stream}
        mean = x.mean(0)
        if job.parties is not None and job.all_recorded:
            options |= {"weights": job.parties.shares, "mass": job.parties.mass}
            mean = job.parties.shares @ x
        if any(Pivot.GIVEN in stage.pivots for stage in rule.stages()):
            options["pivot"] = mean
        squares.append(
            float((rule(x, **options) - mean).square().sum()) * one.outline.stretch / one.outline.spread
        )
    return math.sqrt(sum(squares) / len(squares))


def _spaced(most: int) -> list[int]:
    return sorted({*range(0, most + 1, max(1, -(-most // 12))), most})
