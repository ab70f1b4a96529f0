"""Figures: runs -> pictures, and the numbers behind each as CSV."""

from varangian.experiments.figures.batches import draw_batches
from varangian.experiments.figures.curves import draw_curves
from varangian.experiments.figures.gains import draw_gains
from varangian.experiments.figures.heatmap import draw_worst
from varangian.experiments.figures.ratio import draw_ratio
from varangian.experiments.figures.runs import draw_runs

__all__ = ["draw_batches", "draw_curves", "draw_gains", "draw_ratio", "draw_runs", "draw_worst"]
