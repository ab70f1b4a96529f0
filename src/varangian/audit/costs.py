"""What safety costs while nobody lies; what privacy costs, and whether it leaves the rule a chance."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from varangian.aggregators import Average
from varangian.audit.examination import Examined, Job
from varangian.audit.report import Finding
from varangian.audit.training import Trained
from varangian.core.needs import Pivot
from varangian.core.stages import Stage
from varangian.errors import VarangianError
from varangian.privacy import feasible, spent
from varangian.specification import Experiment

CALLS = 5
MUCH = 0.02
"""Accuracy lost with nobody lying that deserves a word."""


def cost(
    examined: Sequence[Examined], job: Job, trained: Trained | None, error: float | None, d: int | None
) -> tuple[Finding, float]:
    """Return what the rule costs with nobody lying: accuracy or error, time, bytes; and seconds a call."""
    own, plain, width = seconds(job, d or examined[0].outline.columns.shape[-1])
    time_told = (
        f"A call on {job.n} x {width} numbers takes {own * 1e3:.2g} ms, the mean {plain * 1e3:.2g} ms."
    )
    told = f"{time_told} Clients send as many bytes as without."
    if trained is not None:
        lost = trained.averaged - trained.calm
        words = (
            f"Plain averaging reaches {trained.averaged:.1%} with nobody lying, this rule {trained.calm:.1%}."
        )
        finding = Finding(
            "cost", "Cost of safety with no attacker", "warn" if lost > MUCH else "pass", lost, "accuracy",
            f"{100 * lost:.1f} points", f"{words} {told}",
        )  # fmt: skip
    else:
        shown = "not measured" if error is None else f"{error:.2g} honest standard deviations"
        finding = Finding(
            "cost", "Cost of safety with no attacker", "not covered" if error is None else "pass", error,
            "honest standard deviations", shown, told,
        )  # fmt: skip
    return finding, own


def seconds(job: Job, d: int, most: int = 2**21) -> tuple[float, float, int]:
    """Return the median time of a call of the rule, that of the mean, and on how many coordinates."""
    width = max(1, min(d, most // job.n))
    x = torch.randn(job.n, width, generator=job.stream.at("costs").generator())
    options = {"weights": job.parties.shares, "mass": job.parties.mass} if job.parties is not None else {}
    if any(Pivot.GIVEN in stage.pivots for stage in job.rule.stages()):
        options["pivot"] = x.mean(0)

    def timed(rule: Stage, **given: object) -> float:
        rule(x, **given)
        taken = []
        for _ in range(CALLS):
            begun = time.perf_counter()
            rule(x, **given)
            taken.append(time.perf_counter() - begun)
        return sorted(taken)[CALLS // 2]

    return timed(job.rule, **options), timed(Average()), width


def variance_norm(rule: Stage, n: int, d: int | None, shares: Sequence[bool] | float | None) -> Finding:
    """Return in which share of the steps or rounds the condition of the rule's theorem held."""
    bound = None if d is None else rule.variance_bound(n, d)
    title = "Steps in which the variance-norm condition held"
    if bound is None or shares is None:
        shown, why = "no bound is proven", "No paper bounds the ratio of deviation to norm for this rule."
        if bound is not None:
            shown, why = "not measured", "It takes recorded rounds, or a training run, to tell."
        return Finding("variance_norm", title, "not covered", None, "share of steps", shown, why)
    held = shares if isinstance(shares, float) else sum(shares) / len(shares)
    return Finding(
        "variance_norm", title, "pass" if held > 0.5 else "warn", held, "share of steps", f"{held:.0%}",
        f"The theorem promises progress while the honest deviate by at most {bound:.3g} times the norm of "
        "their mean. Elsewhere it promises nothing; training may still go well.",
        1.0, "" if held > 0.5 else "Larger batches, or momentum at the workers, lower the deviation.",
        rule.reference.short,
    )  # fmt: skip


def privacy(spec: Experiment | None, rule: Stage, d: int | None) -> Finding:
    """Return whether noise leaves the rule a chance, and what a run spends."""
    title = "Privacy"
    if spec is None or spec.privacy is None:
        words = "No noise was asked for, so nothing hides a sample from whoever reads the updates."
        return Finding("privacy", title, "not covered", None, "epsilon", "none", words)
    assert d is not None
    momentum = spec.momentum if spec.momentum_at == "worker" else 0.0
    verdict = feasible(rule, spec.privacy, n=spec.workers, d=d, batch_size=spec.batch_size, momentum=momentum)
    try:
        epsilon: float | None = spent(spec.privacy, steps=spec.steps)
        told = f"epsilon {epsilon:.3g} at delta {spec.privacy.delta:g} for the run"
    except VarangianError as error:
        epsilon, told = None, f"not counted: {error}"
    return Finding(
        "privacy", title, "pass" if verdict else "warn", epsilon, "epsilon", told, str(verdict), None,
        "" if verdict else "Take larger batches, or less noise.", "Guerraoui et al., PODC 2021",
    )  # fmt: skip


def accuracies(trained: Trained, spec: Experiment, b: int, allowed: float) -> Finding:
    """Return the worst accuracy under attack."""
    worst = trained.by_liars[b]
    lost = trained.averaged - worst
    status = "pass" if lost <= allowed else "fail"
    return Finding(
        "worst_accuracy", "Worst accuracy under attack", status, worst, "accuracy", f"{worst:.1%}",
        f"The least test accuracy over {len(trained.attacks)} attacks by {b} of {spec.workers} workers; "
        f"{trained.averaged:.1%} with nobody lying and plain averaging. Up to {100 * allowed:g} points pass.",
        trained.averaged - allowed, "" if status == "pass" else "Declare the liars that there are, or take a "
        "rule with a smaller coefficient.", series=("heatmap", "breakdown_real"),
    )  # fmt: skip
