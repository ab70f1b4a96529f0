"""Experiments: specifications -> results, side by side, and pictures of them."""

from varangian.experiments.figures import draw_curves, draw_gains, draw_ratio, draw_runs, draw_worst
from varangian.experiments.loggers import MLflow, TensorBoard, Tracker
from varangian.experiments.run import run
from varangian.experiments.store import Store
from varangian.experiments.sweeps import sweep
from varangian.experiments.versus import Versus, versus

__all__ = [
    "MLflow",
    "Store",
    "TensorBoard",
    "Tracker",
    "Versus",
    "draw_curves",
    "draw_gains",
    "draw_ratio",
    "draw_runs",
    "draw_worst",
    "run",
    "sweep",
    "versus",
]
