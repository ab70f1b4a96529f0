"""Metrics: the signal of one step -> numbers, named after the stage they were taken at."""

from varangian.metrics.signals import Columns, cosine, describe, measure, variance_to_norm
from varangian.metrics.table import Table
from varangian.metrics.trail import Trail

__all__ = ["Columns", "Table", "Trail", "cosine", "describe", "measure", "variance_to_norm"]
