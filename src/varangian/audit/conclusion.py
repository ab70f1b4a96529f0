"""All that is known of a subject, measured and put together: the report."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from varangian.audit.asked import Asked
from varangian.audit.battery import NAMES as FIXED
from varangian.audit.coefficient import condition, declared, proven
from varangian.audit.examination import Examined, Job, Outline, examine
from varangian.audit.findings import Measurements, tell
from varangian.audit.parts import Chapter
from varangian.audit.provenance import file_digest, provenance
from varangian.audit.recording import Round
from varangian.audit.replay import attack_file, run_file
from varangian.audit.report import Finding, Report, Subject, Worst
from varangian.audit.threat import threat_model
from varangian.audit.training import Trained
from varangian.audit.weighing import MajorityError
from varangian.core.needs import Pivot
from varangian.core.stages import Stage
from varangian.kernels.heap import hand_back
from varangian.specification import Experiment
from varangian.specification.spell import spell_rule

WORST_FILE, RUN_FILE = "worst-attack.npz", "worst-run.toml"


def finished(
    subject: Subject,
    job: Job,
    rounds: Sequence[Round],
    asked: Asked,
    *,
    spec: Experiment | None = None,
    runs: Trained | None = None,
    inside: Chapter | None = None,
    folder: Path | None = None,
    alike: Sequence[Outline] | None = None,
    start: float = 0.0,
) -> Report:
    """Return the report of a subject that was examined; ``start`` is the share of the work that is done."""
    digests: dict[Path, str] = {}
    done, one_at_a_time = 0, threading.Lock()

    def told(one: Round) -> None:
        nonlocal done
        with one_at_a_time:
            asked.watch(f"round {one.name}", start + (0.9 - start) * done / len(rounds))
            done += 1
        digests.update({file: file_digest(file) for file in one.files})  # it is read next

    examined = examine(rounds, job, tell=told)
    digests = {file: digests[file] for one in rounds for file in one.files}  # in order
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
        inside,
    )
    said = tell(made)
    attachments = {WORST_FILE: attack_file(worst.worst, job, replayed, folder, digests)}
    if runs is not None and (run := run_file(runs.worst, runs.by_liars[job.b])) is not None:
        attachments[RUN_FILE] = run
    attacks = len(runs.attacks) if runs is not None else len(FIXED)
    return Report(
        subject,
        threat_model(
            subject,
            attacks,
            privacy=bool(spec and spec.privacy),
            trusts=_trusts(job.rule),
            crashes=bool(inside and inside.measured),
        ),
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
            f"{job.b} of {job.n} vectors in round {worst.name}",
        ),
        attachments=attachments,
    )


def _worst(examined: Sequence[Examined], job: Job) -> tuple[Examined, float, float]:
    """Return the worst round, its coefficient with all vectors, and the number that a replay comes to."""
    worst = max(examined, key=lambda one: one.worst.ratio)
    exact = worst.worst.ground.exactly(worst.worst.forged)
    hand_back()
    return worst, worst.worst.ratio if worst.worst.ratio == float("inf") else exact, exact


def refused(
    subject: Subject, job: Job, asked: Asked, error: MajorityError, rounds: Sequence[Round], folder: Path
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


def _trusts(rule: Stage) -> bool:
    return any(Pivot.GIVEN in stage.pivots for stage in rule.stages())


def subject_of(kind: str, name: str, job: Job, rounds: Sequence[Round], toml: str | None) -> Subject:
    """Return what a report says that it is about."""
    shares = None if job.parties is None else tuple(job.parties.shares.tolist())
    return Subject(
        kind, name, repr(job.rule), spell_rule(job.rule), job.n, job.rule.f or 0, job.b, rounds[0].d,
        len(rounds), shares, toml,
    )  # fmt: skip
