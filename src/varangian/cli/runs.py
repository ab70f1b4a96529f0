"""Runs one after the other, and what is left of them when somebody has had enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from varangian.cli.live import Live
from varangian.cli.spelling import spelled
from varangian.engines import Engine, Result
from varangian.experiments import run
from varangian.specification import Experiment


@dataclass(frozen=True)
class Outcome:
    """The results by label, and if the runs were interrupted, how far they came."""

    results: dict[str, Result]
    interrupted: str | None = None


def train_all(
    runs: Mapping[str, Experiment], *, quiet: bool, engine: Callable[[Experiment], Engine | None]
) -> Outcome:
    """Return the results of all runs, or of those that were done when Ctrl-C came."""
    results: dict[str, Result] = {}
    for number, (label, spec) in enumerate(runs.items(), 1):
        place = f"{number}/{len(runs)}  " if len(runs) > 1 else ""
        live = Live(f"{place}{lying(spec)}, {spelled(spec.rule)}", spec.steps, quiet=quiet)
        try:
            with live:
                results[label] = run(spec, live, engine=engine(spec))
        except KeyboardInterrupt:
            step = f"after step {live.stand.step} of {spec.steps}" if live.stand else "before its first step"
            return Outcome(results, f"run {number} of {len(runs)} ({label}) ended {step}")
    return Outcome(results)


def liars(spec: Experiment) -> str:
    """Return who lies: ``nobody``, or how many of how many."""
    return f"{spec.byzantine} of {spec.workers}" if spec.byzantine and spec.attack else "nobody"


def lying(spec: Experiment) -> str:
    """Return the same as half a sentence."""
    who = liars(spec)
    return f"{who} lies" if who == "nobody" else f"{who} lie"
