"""Simulate: compatible experiments side by side -> the same numbers as one after the other."""

from varangian.engines.simulate.plan import batches
from varangian.engines.simulate.simulate import simulate

__all__ = ["batches", "simulate"]
