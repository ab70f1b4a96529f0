"""Small runs for the tests of stores and sweeps."""

from __future__ import annotations

from typing import Any

import varangian as vg


def tiny(**given: Any) -> vg.Experiment:
    """Return a run that takes a fraction of a second."""
    return vg.Experiment(**{"model": "logistic", "workers": 5, "steps": 4, "evaluate_every": 2, **given})
