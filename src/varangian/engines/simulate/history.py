"""What was measured of every run, step by step, as arrays that a checkpoint can hold."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.metrics import Columns, Table


class History:
    """An array ``(steps, runs)`` per number, NaN where nothing was measured, and what each run measures."""

    def __init__(self, steps: int, runs: int) -> None:
        self.steps = steps
        self.columns: dict[str, Float[Tensor, "steps runs"]] = {}
        self.names: list[list[str]] = [[] for _ in range(runs)]

    def add(self, step: int, where: slice, measured: Columns) -> None:
        """Take in what a step, counted from zero, measured of some neighbouring runs."""
        device = measured["curvature"].device
        values = torch.stack([column.to(device, torch.float64) for column in measured.values()]).cpu()
        for name, column in zip(measured, values, strict=True):
            self._column(name)[step, where] = column
        for names in self.names[where]:
            names += [name for name in measured if name not in names]

    def restore(self, name: str, values: Float[Tensor, "some runs"]) -> None:
        """Take in the first steps of a column."""
        self._column(name)[: len(values)] = values

    def _column(self, name: str) -> Tensor:
        if name not in self.columns:
            shape = (self.steps, len(self.names))
            self.columns[name] = torch.full(shape, math.nan, dtype=torch.float64)
        return self.columns[name]

    def row(self, step: int, run: int) -> dict[str, float]:
        """Return what a step measured of a run."""
        numbers = {name: float(self.columns[name][step, run]) for name in self.names[run]}
        return {name: number for name, number in numbers.items() if name != "accuracy" or number == number}

    def table(self, run: int) -> Table:
        """Return all that was measured of a run."""
        return Table.of({name: self.columns[name][:, run].tolist() for name in self.names[run]})
