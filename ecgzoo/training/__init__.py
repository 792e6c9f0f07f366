"""Recipes (what) and the engine (how). The package is callable: ``ecgzoo.distill(recipe)`` runs one whole."""

import sys
from types import ModuleType

from ecgzoo.training.recipe import LossTerm, Recipe
from ecgzoo.training.report import Report
from ecgzoo.training.run import Run, distill

__all__ = ["LossTerm", "Recipe", "Report", "Run", "distill"]


class _Callable(ModuleType):
    __call__ = staticmethod(distill)


sys.modules[__name__].__class__ = _Callable
