"""Runs whose metrics are written by hand, so that what is made of them is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import varangian as vg
from varangian.experiments.view import Trace


def trace(spec: vg.Experiment, accuracies: Sequence[float], **columns: Sequence[float]) -> Trace:
    """Return a run of as many steps as there are accuracies; NaN is a step without evaluation."""
    steps = list(range(1, len(accuracies) + 1))
    loss = columns.pop("loss", [1.0 / step for step in steps])
    return Trace(spec, {"step": steps, "loss": loss, "accuracy": accuracies, **columns})


def flat(spec: vg.Experiment, accuracy: float, **columns: Sequence[float]) -> Trace:
    """Return a run of which two evaluations say the same, with a step without evaluation between."""
    return trace(spec, [accuracy, math.nan, accuracy], **columns)
