"""Experiments: specifications -> results, side by side, and pictures of them."""

from varangian.experiments.figures import draw_runs
from varangian.experiments.run import run
from varangian.experiments.versus import Versus, versus

__all__ = ["Versus", "draw_runs", "run", "versus"]
