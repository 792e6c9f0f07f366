"""A teacher alone: many leads, labels only. Give its folder to --teacher-weights.

ecgzoo recipe teacher --data ptbxl --root DIR --output runs/teacher
ecgzoo recipe mvkt --data ptbxl --root DIR --teacher-weights runs/teacher/teacher
"""

import sys

from ecgzoo import Recipe, Report, Run, run_recipe

RECIPE = Recipe(losses=("bce=1",), output="runs/teacher")


def train(recipe: Recipe) -> Report:
    """Train and evaluate the teacher."""
    run = Run(recipe)
    return run.report({"teacher": run.train("teacher", recipe.teacher_network, recipe.loss_terms, is_teacher=True)})


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(train, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
