"""Vanilla distillation (arXiv 1503.02531), the method that MVKT improves on: BCE + KL between softmaxes.

ecgzoo recipe kd --data ptbxl --root DIR --losses bce=1 kd=1,temperature=4
"""

import sys

from ecgzoo import Recipe, distill, run_recipe

RECIPE = Recipe(losses=("bce=1", "kd=1"), output="runs/kd")


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(distill, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
