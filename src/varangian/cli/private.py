"""What noise for privacy cost a run, and whether its rule can be proven under so much of it."""

from __future__ import annotations

from varangian.data.splits import Pooled
from varangian.engines import Result
from varangian.errors import MissingExtraError
from varangian.privacy import feasible, spent
from varangian.specification import Experiment


def privacy_told(result: Result) -> list[str]:
    """Return the budget spent, and the necessary condition where anybody lies; nothing without noise."""
    spec = result.experiment
    if spec.privacy is None:
        return []
    return [_budget(spec), *([_condition(spec, len(result.parameters))] if spec.byzantine else [])]


def _budget(spec: Experiment) -> str:
    assert spec.privacy is not None
    if spec.privacy.clip != "sample":
        return f"Privacy spent: {spec.privacy.caveat}."
    steps = spec.steps * spec.local_steps
    holders = (
        spec.workers if isinstance(spec.split, Pooled) else 1
    ) + spec.trusts  # the server draws from all
    try:
        epsilon = spent(spec.privacy, steps=steps, holders=holders)
    except MissingExtraError as error:
        return f"Privacy spent: {error}"
    drawn = f"{holders} draw from the same samples" if holders > 1 else "each sample is one worker's"
    budget = f"epsilon = {epsilon:.3g} at delta = {spec.privacy.delta:g}"
    return f"Privacy spent: {budget}, whatever the batches; {drawn}."


def _condition(spec: Experiment, d: int) -> str:
    """Return what rules the theorem out, if anything; no worker's batch is larger than is asked for."""
    assert spec.privacy is not None
    verdicts = [
        feasible(
            rule,
            spec.privacy,
            n=spec.workers,
            d=d,
            batch_size=spec.batch_size,
            momentum=spec.momentum if spec.momentum_at == "worker" else 0.0,
        )
        for rule in spec.rules
    ]
    return str(next((verdict for verdict in verdicts if not verdict), verdicts[0]))
