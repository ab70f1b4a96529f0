"""What a run leaves behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from varangian.metrics import Table
from varangian.specification import Experiment


@dataclass(frozen=True, eq=False)
class Result:
    """The experiment, a table of metrics with a row per step, and the final parameters ``(d,)``.

    ``seconds`` is the time that training took, evaluation included.
    """

    experiment: Experiment
    metrics: Table
    parameters: Tensor
    seconds: float

    @property
    def accuracy(self) -> float:
        """Return the share of test samples that the last evaluation got right, 0..1."""
        return self.metrics.last("accuracy")

    @property
    def diverged(self) -> bool:
        """Tell whether training left the finite numbers."""
        return not (bool(self.parameters.isfinite().all()) and math.isfinite(self.metrics["loss"][-1]))
