"""Metrics: the signal of one step -> numbers, named after the stage they were taken at."""

from varangian.metrics.signals import cosine, describe, variance_to_norm
from varangian.metrics.table import Table

__all__ = ["Table", "cosine", "describe", "variance_to_norm"]
