"""Vanilla distillation (arXiv 1503.02531), the method that MVKT improves on: BCE + KL between softmaxes.

accelerate launch recipes/kd.py --data ptbxl --root DIR --losses bce=1 kd=1,temperature=4
"""

from ecgzoo.cli.recipe import run_recipe
from ecgzoo.training import Recipe, distill

if __name__ == "__main__":
    run_recipe(distill, Recipe(losses=("bce=1", "kd=1"), output="runs/kd"), __doc__)
