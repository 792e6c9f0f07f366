"""A student on labels alone, without a teacher: what every distilled student must beat.

accelerate launch recipes/baseline.py --data ptbxl --root DIR --student resnet1d18 --student-leads II
"""

from ecgzoo.cli.recipe import run_recipe
from ecgzoo.training import Recipe, Report, Run


def main(recipe: Recipe) -> Report:
    """Train and judge the student."""
    run = Run(recipe, distils=False)
    student = (recipe.student, recipe.student_leads)
    baseline = run.train("baseline", *student, recipe.losses, None, recipe.student_options)
    return run.report({"baseline": baseline})


if __name__ == "__main__":
    run_recipe(main, Recipe(losses=("bce=1",), output="runs/baseline"), __doc__)
