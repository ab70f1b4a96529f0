"""Sweeps: many specifications -> batches -> workers -> a store; what is finished is never done again."""

from varangian.experiments.sweeps.grid import read_grid
from varangian.experiments.sweeps.sweep import Failure, Outcome, carry_out, sweep
from varangian.experiments.sweeps.tally import Standing

__all__ = ["Failure", "Outcome", "Standing", "carry_out", "read_grid", "sweep"]
