"""Recipes: a paper -> the specifications of its experiments, and its numbers beside ours."""

from varangian.experiments.recipes.recipe import Recipe, Scope
from varangian.experiments.recipes.report import Comparison, Line, Number, mean, share, write_csv
from varangian.experiments.view import Run

RECIPES: tuple[Recipe, ...] = ()
"""The catalogue of recipes, made values."""

__all__ = [
    "RECIPES",
    "Comparison",
    "Line",
    "Number",
    "Recipe",
    "Run",
    "Scope",
    "mean",
    "share",
    "write_csv",
]
