"""A student on labels alone, without a teacher: the baseline that every distilled student must beat.

ecgzoo recipe baseline --data ptbxl --root DIR --student resnet1d18 --student-leads II
"""

import sys

from ecgzoo import Recipe, Report, Run, run_recipe

RECIPE = Recipe(losses=("bce=1",), output="runs/baseline")


def train(recipe: Recipe) -> Report:
    """Train and evaluate the student."""
    run = Run(recipe)
    return run.report({"baseline": run.train("baseline", recipe.student_network, recipe.loss_terms)})


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(train, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
