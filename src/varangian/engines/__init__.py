"""Engines: an experiment -> what happened; the same numbers from each."""

from varangian.engines.engine import Engine
from varangian.engines.gathered import Gathered
from varangian.engines.loop import Progress, train
from varangian.engines.result import Result
from varangian.engines.simulate import batches, simulate

__all__ = ["Engine", "Gathered", "Progress", "Result", "batches", "simulate", "train"]
