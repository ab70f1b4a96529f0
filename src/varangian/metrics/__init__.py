"""Metrics: the signal of one step -> numbers, named after the stage they were taken at."""

from varangian.metrics.signals import Columns, Signal, cosine, measure, variance_to_norm
from varangian.metrics.table import Table
from varangian.metrics.trail import Trail

__all__ = ["Columns", "Signal", "Table", "Trail", "cosine", "measure", "variance_to_norm"]
