"""Clusters as tables: who stands where, what came of them, and what they say of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table

from varangian.cli.console import table
from varangian.engines import Gathered

if TYPE_CHECKING:
    from varangian.engines.multiparty.course import Standing

PURPOSES = ("compute", "communicate", "aggregate")


def standing_table(standing: Mapping[str, Standing], steps: int) -> Table:
    """Return who is at which step."""
    rows = []
    for name, one in standing.items():
        row = one.row or {}
        state = "finished" if one.finished else "alive" if one.alive else "gone"
        accuracy = row.get("accuracy", -1.0)
        loss = f"{row['loss']:.3g}" if "loss" in row else ""
        rows.append(
            (name, state, f"{one.step}/{steps}", loss, f"{100 * accuracy:.1f}" if accuracy >= 0 else "")
        )
    return table(("party", "state", "step", "loss", "test accuracy (%)"), rows, numbers=("step", "loss"))


def outcome_tables(gathered: Gathered, reports: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    """Return how good each honest party's model is, where a step's time went, and what was refused."""
    milliseconds = tuple(f"{purpose} (ms)" for purpose in PURPOSES)
    columns, total = ("party", "step", "test accuracy (%)", *milliseconds), gathered.experiment.steps
    rows = []
    for name, report in reports.items():
        if not report:
            rows.append((name, "gone", *[""] * (len(columns) - 2)))
            continue
        steps = max(report["step"], 1)
        accuracy = gathered.accuracies.get(name)
        split = (f"{1000 * report['seconds'].get(purpose, 0.0) / steps:.1f}" for purpose in PURPOSES)
        rows.append(
            (
                name,
                str(min(report["step"], total)),
                "" if accuracy is None else f"{100 * accuracy:.1f}",
                *split,
            )
        )
    told: list[RenderableType] = [table(columns, rows, numbers=columns[1:])]
    reasons = _reasons((why, count) for (_, _, why), count in gathered.refused.items())
    told.append(f"{gathered.messages} messages; {f'refused: {reasons}' if reasons else 'none was refused'}.")
    caught = Counter(name for report in reports.values() for name in report.get("equivocated", ()))
    told += [
        f"{name} signed different values on one topic; {n} parties hold the proof."
        for name, n in caught.items()
    ]
    return told


def answers_table(names: Iterable[str], answers: Mapping[str, Mapping[str, Any] | None]) -> Table:
    """Return what the parties that were asked say, and of the others, what those say of them."""
    rows = []
    for name in names:
        answer = answers.get(name)
        if answer is not None:
            peers = answer["peers"].values()
            reached = f"{sum(peer['alive'] for peer in peers)} of {len(peers)}"
            reasons = _reasons(pair for peer in peers for pair in peer["refused"].items())
            wait = f"{1000 * answer['quorum_seconds']:.0f}"
            state = "finished" if answer["finished"] else "alive"
            rows.append((name, state, str(answer["step"]), reached, wait, reasons))
            continue
        seen = [other["peers"][name] for other in answers.values() if other and name in other["peers"]]
        alive = sum(peer["alive"] for peer in seen)
        state = "no answer" if name in answers else f"seen by {alive} of {len(seen)}"
        step = max((peer["step"] for peer in seen), default=-1)
        rows.append((name, state, str(step) if step >= 0 else "", "", "", ""))
    columns = ("party", "state", "step", "peers", "quorum (ms)", "refused")
    return table(columns, rows, numbers=("step", "quorum (ms)"))


def _reasons(pairs: Iterable[tuple[str, int]]) -> str:
    counts: Counter[str] = Counter()
    for why, count in pairs:
        counts[why] += count
    return ", ".join(f"{count} {why}" for why, count in sorted(counts.items()))
