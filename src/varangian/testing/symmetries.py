"""Promises about symmetry: order, agreement, translation, scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.testing.promises import close, demand, promise
from varangian.testing.subject import Subject, Trial

TOLERANCE = 1e-8
SEEDS = range(3)


def _sorted_rows(x: Tensor) -> Tensor:
    """Return rows in lexicographic order, after rounding that forgives the last digits."""
    rows = x.cpu().numpy()
    order = np.lexsort(np.round(rows, 6).T[::-1])
    return x[torch.from_numpy(order.copy()).to(x.device)]


@promise("The order of the vectors does not matter.")
def order(subject: Subject) -> None:
    """Check shuffled vectors where it is claimed; a mixer's outputs are compared as a set."""
    if not subject.claims_order:
        return
    for seed in SEEDS:
        trial = subject.trial(seed)
        permutation = torch.randperm(subject.count, generator=Stream(seed).at("order").generator())
        shuffled = trial.with_rows(trial.x[permutation.to(trial.x.device)])
        want, got = subject.value(trial), subject.value(shuffled)
        near = close(got, want, TOLERANCE)
        if subject.mixes:
            near = close(_sorted_rows(got), _sorted_rows(want), TOLERANCE)
        demand(near, f"{got} in the order {permutation.tolist()}, {want} in the first order.", subject, trial)


@promise("When all vectors agree, the result is what they agree on.")
def agreement(subject: Subject) -> None:
    """Check n equal vectors, a zero one included."""
    if not subject.claims_agreement:
        return
    for scale in (1.0, 0.0, 1e6):
        v = subject.trial(d=subject.d).x[0] * scale
        x = v.expand(subject.count, -1).clone()
        trial = Trial(x, None if subject.trial().pivot is None else v.clone())
        got = subject.value(trial)
        demand(
            close(got, v.expand_as(got), TOLERANCE, max(1.0, scale)),
            f"{got} from copies of {v}.",
            subject,
            trial,
        )


@promise("Moving every vector moves the result as much.")
def translation(subject: Subject) -> None:
    """Check a shift, where translation is claimed."""
    if not subject.claims_translation:
        return
    for seed in SEEDS:
        trial = subject.trial(seed)
        shift = torch.linspace(-20, 30, subject.d, dtype=torch.float64, device=subject.device)
        want, got = subject.value(trial) + shift, subject.value(trial.moved(1.0, shift))
        demand(
            close(got, want, TOLERANCE, 30.0), f"{got} after a shift by {shift}, not {want}.", subject, trial
        )


@promise("Scaling every vector scales the result as much.")
def scaling(subject: Subject) -> None:
    """Check factors small and large, where scaling is claimed."""
    if not subject.claims_scaling:
        return
    for seed, factor in enumerate((0.25, 3.0, 1e-12, 1e12)):
        trial = subject.trial(seed)
        want, got = subject.value(trial) * factor, subject.value(trial.moved(factor, 0.0))
        demand(
            close(got, want, TOLERANCE, factor),
            f"{got} at {factor} times the vectors, not {want}.",
            subject,
            trial,
        )
