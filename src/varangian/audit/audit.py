"""An experiment, recorded rounds, or a rule alone -> a report of what it survives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from varangian.attacks import ALittleIsEnough, DataAttack
from varangian.audit.asked import ALLOWED, Asked, Watch
from varangian.audit.clouds import clouds
from varangian.audit.conclusion import finished, refused, subject_of
from varangian.audit.conditions import parse_condition
from varangian.audit.examination import Job, Outline
from varangian.audit.parts import chapter
from varangian.audit.recorder import record
from varangian.audit.recording import read_rounds
from varangian.audit.report import Report
from varangian.audit.training import trained
from varangian.audit.weighing import MajorityError, weighed
from varangian.core.guard import admit
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.specification import Experiment, to_toml
from varangian.specification.spell import spell_rule

ROUNDS = 10
"""Rounds of an experiment that are recorded."""
STEPS, BATCH = 12, 256
"""Steps and samples from which the heterogeneity of an experiment is told."""


def audit(
    what: Experiment | Stage | str | Path,
    rule: Stage | None = None,
    *,
    n: int | None = None,
    byzantine: int | None = None,
    weights: Sequence[float] | None = None,
    cap: float | None = None,
    mass: float | None = None,
    allowed: float = ALLOWED,
    seed: int = 1,
    fail_if: Sequence[str] = (),
    parts: bool | None = None,
    watch: Watch | None = None,
) -> Report:
    """Return what a training job, a folder of recorded rounds, or a rule for ``n`` vectors survives.

    ``byzantine`` is how many really lie: that of the experiment, else what the rule declares, else 1.
    ``weights``, ``cap`` and ``mass`` are those of ``rule(updates, ...)``, of recorded rounds alone.
    ``allowed`` is what an attack may cost of the accuracy, 0..1. ``fail_if`` are conditions on the report's
    numbers under which it fails ("worst_accuracy < 0.9"). ``parts`` tells whether neurons of the trained
    model are to crash as well; None does so where it takes seconds. ``report.write(folder)`` keeps all of it.

    Cost        some fifty training runs for an experiment; two reads of every round of a recording,
                one of which is for its hash, and three of the worst; memory for a block of it in every lane
    Randomness  from ``seed``
    Raises      DataError, ParameterError, ToleranceError, WeightsError: what arrived, what to change

    >>> from varangian.aggregators import Average, TrimmedMean
    >>> audit(TrimmedMean(f=1), n=5).status, audit(Average(), n=5).finding("coefficient").shown
    ('pass', 'unbounded')
    """
    begun = time.perf_counter()
    if not 0 <= allowed <= 1:
        raise ParameterError(f"allowed = {allowed!r} arrived; it is a share of the accuracy, 0 to 1.")
    asked = Asked(
        byzantine,
        allowed,
        seed,
        tuple(map(parse_condition, fail_if)),
        watch or (lambda what, share: None),
        parts,
    )
    kind = (
        "experiment" if isinstance(what, Experiment) else "rule" if isinstance(what, Stage) else "recording"
    )
    for one in asked.conditions:
        one.ask(kind)
    if parts and kind != "experiment":
        raise ParameterError(
            f"parts = True arrived for a {kind}; only an experiment trains a model. Leave it out."
        )
    if isinstance(what, Experiment):
        report = _of_experiment(what, asked)
    elif isinstance(what, Stage):
        if n is None:
            raise ParameterError(f"A rule alone, {what!r}, needs the number of vectors: audit(rule, n=20).")
        report = _of_rule(what, n, asked)
    elif rule is None:
        raise ParameterError(
            f"Recorded rounds, {what}, need the rule that aggregates them: audit(folder, rule)."
        )
    else:
        report = _of_recording(Path(what), rule, asked, weights, cap, mass)
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    checks = tuple(one.check(report.numbers) for one in asked.conditions)
    return replace(report, checks=checks, made=made, seconds=round(time.perf_counter() - begun, 3))


def _of_experiment(spec: Experiment, asked: Asked) -> Report:
    rule = _one_rule(spec)
    b = asked.liars(spec.workers, spec.byzantine or rule.f or 1)
    attacked = replace(spec, byzantine=b, attack=spec.attack)
    if attacked.attack is None or isinstance(attacked.attack, DataAttack):
        attacked = replace(attacked, attack=ALittleIsEnough(z=1.5))
    watch = asked.watch
    runs = trained(
        attacked,
        b,
        spell_rule,
        lambda done, total: watch("training under attack", 0.8 * min(1.0, done / total)),
    )
    watch("crashing neurons", 0.8)
    job = Job(rule, spec.workers, b, False, None, Stream(asked.seed).at("audit"))
    inside = chapter(attacked, runs.parameters, asked.allowed, job.stream.at("parts"), asked.parts)
    watch("recording", 0.8)
    rounds = record(attacked, ROUNDS)
    alike = [Outline.of(one.whole()) for one in record(_plainly(attacked), STEPS)]
    try:
        told: str | None = to_toml(spec)
    except ParameterError:
        told = None
    name = f"{spec.data if isinstance(spec.data, str) else spec.data.name}, {spec.workers} workers"
    subject = subject_of("experiment", name, job, rounds, told)
    return finished(
        subject, job, rounds, asked, spec=attacked, runs=runs, inside=inside, alike=alike, start=0.85
    )


def _plainly(spec: Experiment) -> Experiment:
    """Return a short run whose workers send nothing but fresh gradients: noise then does not last."""
    batch = max(spec.batch_size, BATCH)
    return replace(
        spec,
        steps=STEPS,
        batch_size=batch,
        momentum=0.0,
        nesterov=False,
        clip=None,
        privacy=None,
        local_steps=1,
    )


def _of_recording(
    folder: Path,
    rule: Stage,
    asked: Asked,
    weights: Sequence[float] | None,
    cap: float | None,
    mass: float | None,
) -> Report:
    if rule.stages()[-1].mixes:
        raise ParameterError(f"{rule!r} returns many vectors; end it with a rule, Average() for instance.")
    rounds = read_rounds(folder)
    n = rounds[0].m
    admit(rule, n)
    b = asked.liars(n, rule.f or 1)
    claimed = weights if weights is not None else rounds[0].weights
    stream = Stream(asked.seed).at("audit")
    try:
        parties = weighed(rule, claimed, n, b, cap, mass)
    except MajorityError as error:
        job = Job(rule, n, b, True, None, stream)
        subject = replace(subject_of("recording", folder.name, job, rounds, None), shares=error.shares)
        return refused(subject, job, asked, error, rounds, folder)
    job = Job(rule, n, b, True, parties, stream)
    subject = subject_of("recording", folder.name, job, rounds, None)
    return finished(subject, job, rounds, asked, folder=folder)


def _of_rule(rule: Stage, n: int, asked: Asked) -> Report:
    if rule.stages()[-1].mixes:
        raise ParameterError(f"{rule!r} returns many vectors; end it with a rule, Average() for instance.")
    admit(rule, n)
    b = asked.liars(n, rule.f or 1)
    job = Job(rule, n, b, False, None, Stream(asked.seed).at("audit"))
    rounds = clouds(n - b, b, job.stream)
    return finished(subject_of("rule", f"a rule for {n} vectors", job, rounds, None), job, rounds, asked)


def _one_rule(spec: Experiment) -> Stage:
    if not isinstance(spec.rule, Stage):
        raise ParameterError(f"{spec.rule!r} draws a rule per step; audit each of its rules by itself.")
    return spec.rule
