"""An experiment, recorded rounds, or a rule alone -> a report of what it survives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from varangian.attacks import ALittleIsEnough, DataAttack
from varangian.audit.battery import NAMES as FIXED
from varangian.audit.clouds import clouds
from varangian.audit.coefficient import condition, declared, proven
from varangian.audit.conditions import Condition, parse_condition
from varangian.audit.examination import Examined, Job, Outline, examine
from varangian.audit.findings import Measurements, tell
from varangian.audit.provenance import file_digest, provenance
from varangian.audit.recorder import record
from varangian.audit.recording import Round, read_rounds
from varangian.audit.replay import attack_file, run_file
from varangian.audit.report import Finding, Report, Subject, Worst
from varangian.audit.threat import threat_model
from varangian.audit.training import Trained, trained
from varangian.audit.weighing import MajorityError, weighed
from varangian.core.guard import admit
from varangian.core.points import Pivot
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.specification import Experiment, to_toml
from varangian.specification.spell import spell_rule

ROUNDS = 10
"""Rounds of an experiment that are recorded."""
STEPS, BATCH = 12, 256
"""Steps and samples from which the heterogeneity of an experiment is told."""
ALLOWED = 0.1
"""What of the accuracy an attack may cost."""
WORST_FILE, RUN_FILE = "worst-attack.npz", "worst-run.toml"

Watch = Callable[[str, float], None]
"""Told what is under way, and which share of all is done, 0..1."""


@dataclass(frozen=True)
class _Asked:
    """What every kind of audit is asked beside its subject."""

    byzantine: int | None
    allowed: float
    seed: int
    conditions: tuple[Condition, ...]
    watch: Watch

    def liars(self, n: int, otherwise: int) -> int:
        """Return how many lie in the audit. Raises ParameterError for a number that cannot be."""
        b = otherwise if self.byzantine is None else self.byzantine
        if not isinstance(b, int) or isinstance(b, bool) or not 0 <= b <= n - 2:
            raise ParameterError(
                f"byzantine = {b!r} arrived for n = {n}; two must be honest, so take 0 to {n - 2}."
            )
        return b


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
    watch: Watch | None = None,
) -> Report:
    """Return what a training job, a folder of recorded rounds, or a rule for ``n`` vectors survives.

    ``byzantine`` is how many really lie: that of the experiment, else what the rule declares, else 1.
    ``weights``, ``cap`` and ``mass`` are those of ``rule(updates, ...)``, of recorded rounds alone.
    ``allowed`` is what an attack may cost of the accuracy, 0..1. ``fail_if`` are conditions on the report's
    numbers under which it fails ("worst_accuracy < 0.9"). ``report.write(folder)`` keeps all of it.

    Cost        some fifty training runs for an experiment; two reads of every round of a recording
    Randomness  from ``seed``
    Raises      DataError, ParameterError, ToleranceError, WeightsError: what arrived, what to change

    >>> from varangian.aggregators import Average, TrimmedMean
    >>> audit(TrimmedMean(f=1), n=5).status, audit(Average(), n=5).finding("coefficient").shown
    ('pass', 'unbounded')
    """
    begun = time.perf_counter()
    if not 0 <= allowed <= 1:
        raise ParameterError(f"allowed = {allowed!r} arrived; it is a share of the accuracy, 0 to 1.")
    asked = _Asked(
        byzantine, allowed, seed, tuple(map(parse_condition, fail_if)), watch or (lambda what, share: None)
    )
    kind = (
        "experiment" if isinstance(what, Experiment) else "rule" if isinstance(what, Stage) else "recording"
    )
    for one in asked.conditions:
        one.ask(kind)
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


def _of_experiment(spec: Experiment, asked: _Asked) -> Report:
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
    watch("recording", 0.8)
    rounds = record(attacked, ROUNDS)
    alike = [Outline.of(one.whole()) for one in record(_plainly(attacked), STEPS)]
    job = Job(rule, spec.workers, b, False, None, Stream(asked.seed).at("audit"))
    try:
        told: str | None = to_toml(spec)
    except ParameterError:
        told = None
    name = f"{spec.data if isinstance(spec.data, str) else spec.data.name}, {spec.workers} workers"
    subject = _subject("experiment", name, job, rounds, told)
    return _finished(subject, job, rounds, asked, spec=attacked, runs=runs, alike=alike, start=0.85)


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
    asked: _Asked,
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
        subject = replace(_subject("recording", folder.name, job, rounds, None), shares=error.shares)
        return _refused(subject, job, asked, error, rounds, folder)
    job = Job(rule, n, b, True, parties, stream)
    subject = _subject("recording", folder.name, job, rounds, None)
    return _finished(subject, job, rounds, asked, folder=folder)


def _of_rule(rule: Stage, n: int, asked: _Asked) -> Report:
    if rule.stages()[-1].mixes:
        raise ParameterError(f"{rule!r} returns many vectors; end it with a rule, Average() for instance.")
    admit(rule, n)
    b = asked.liars(n, rule.f or 1)
    job = Job(rule, n, b, False, None, Stream(asked.seed).at("audit"))
    rounds = clouds(n - b, b, job.stream)
    return _finished(_subject("rule", f"a rule for {n} vectors", job, rounds, None), job, rounds, asked)


def _finished(
    subject: Subject,
    job: Job,
    rounds: Sequence[Round],
    asked: _Asked,
    *,
    spec: Experiment | None = None,
    runs: Trained | None = None,
    folder: Path | None = None,
    alike: Sequence[Outline] | None = None,
    start: float = 0.0,
) -> Report:
    digests: dict[Path, str] = {}
    done = 0

    def told(what: str) -> None:
        nonlocal done
        asked.watch(what, start + (0.9 - start) * done / len(rounds))
        digests.update({file: file_digest(file) for file in rounds[done].files})  # it is read next
        done += 1

    examined = examine(rounds, job, tell=told)
    asked.watch("the worst attack, once more with all vectors", 0.9)
    worst, exact, replayed = _worst(examined, job)
    made = Measurements(
        job,
        subject.kind,
        rounds,
        examined,
        exact,
        subject.d,
        spec,
        runs,
        asked.allowed,
        alike or [one.outline for one in examined],
    )
    said = tell(made)
    attachments = {WORST_FILE: attack_file(worst.worst, job, replayed, folder)}
    if runs is not None and (run := run_file(runs.worst, runs.by_liars[job.b])) is not None:
        attachments[RUN_FILE] = run
    attacks = len(runs.attacks) if runs is not None else len(FIXED)
    return Report(
        subject,
        threat_model(subject, attacks, privacy=bool(spec and spec.privacy), trusts=_trusts(job.rule)),
        said.findings,
        said.series,
        said.numbers,
        provenance(asked.seed, spec, digests, folder),
        said.clients,
        said.plane,
        Worst(
            WORST_FILE,
            worst.worst.name,
            "coefficient",
            replayed,
            f"{job.b} of {job.n} vectors in round {worst.name}; varangian audit replay {WORST_FILE}",
        ),
        attachments=attachments,
    )


def _worst(examined: Sequence[Examined], job: Job) -> tuple[Examined, float, float]:
    """Return the worst round, its coefficient with all vectors, and the number that a replay comes to."""
    worst = max(examined, key=lambda one: one.worst.ratio)
    exact = worst.worst.ground.exactly(worst.worst.forged)
    return worst, worst.worst.ratio if worst.worst.ratio == float("inf") else exact, exact


def _refused(
    subject: Subject, job: Job, asked: _Asked, error: MajorityError, rounds: Sequence[Round], folder: Path
) -> Report:
    """Return the report of what no rule can bear: it says why, and measures nothing."""
    largest = max(error.shares)
    reason, *change = str(error).replace("\n", " ").split(". ", 1)
    finding = Finding(
        "weights",
        "Weight that liars may hold",
        "refused",
        largest,
        "share",
        f"the largest party has {largest:.1%}",
        f"{reason}. Who holds half of the weight decides, whatever the rule.",
        0.5,
        change[0] if change else "Cap the shares.",
    )
    found = (
        condition(job.rule, job.n),
        declared(job.rule, job.n, job.b),
        proven(job.rule, job.n, job.b, True),
    )
    return Report(
        subject,
        threat_model(subject, len(FIXED), trusts=_trusts(job.rule)),
        (*found, finding),
        {},
        {"largest_share": largest},
        provenance(
            asked.seed, None, {file: file_digest(file) for one in rounds for file in one.files}, folder
        ),
    )


def _one_rule(spec: Experiment) -> Stage:
    if not isinstance(spec.rule, Stage):
        raise ParameterError(f"{spec.rule!r} draws a rule per step; audit each of its rules by itself.")
    return spec.rule


def _trusts(rule: Stage) -> bool:
    return any(Pivot.GIVEN in stage.pivots for stage in rule.stages())


def _subject(kind: str, name: str, job: Job, rounds: Sequence[Round], toml: str | None) -> Subject:
    shares = None if job.parties is None else tuple(job.parties.shares.tolist())
    return Subject(
        kind, name, repr(job.rule), spell_rule(job.rule), job.n, job.rule.f or 0, job.b, rounds[0].d,
        len(rounds), shares, toml,
    )  # fmt: skip
