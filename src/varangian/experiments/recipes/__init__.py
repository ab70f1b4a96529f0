"""Recipes: a paper -> the specifications of its experiments, and its numbers beside ours."""

from varangian.experiments.recipes.bucketing import BucketingRecipe
from varangian.experiments.recipes.momentum import MomentumRecipe
from varangian.experiments.recipes.privacy import PrivacyRecipe
from varangian.experiments.recipes.recipe import Recipe, Scope
from varangian.experiments.recipes.report import Comparison, Line, Number, mean, share
from varangian.experiments.view import Run
from varangian.experiments.written import write_csv

RECIPES: tuple[Recipe, ...] = (MomentumRecipe(), BucketingRecipe(), PrivacyRecipe())
"""The catalogue of recipes, made values."""

__all__ = [
    "RECIPES",
    "BucketingRecipe",
    "Comparison",
    "Line",
    "MomentumRecipe",
    "Number",
    "PrivacyRecipe",
    "Recipe",
    "Run",
    "Scope",
    "mean",
    "share",
    "write_csv",
]
