"""Making images of pools from folders and tar archives, without root and, if asked, with the same bytes every time."""

from __future__ import annotations

from .build import Result, make_image
from .plan import Plan, plan_image
from .recipe import DatasetRecipe, Recipe, parse_dataset

__all__ = ["DatasetRecipe", "Plan", "Recipe", "Result", "make_image", "parse_dataset", "plan_image"]
