"""A teacher alone: many leads, labels only. Its folder is what --teacher-weights takes.

accelerate launch recipes/teacher.py --data ptbxl --root DIR --output runs/teacher
accelerate launch recipes/mvkt.py --data ptbxl --root DIR --teacher-weights runs/teacher/teacher
"""

from ecgzoo.cli.recipe import run_recipe
from ecgzoo.training import Recipe, Report, Run


def main(recipe: Recipe) -> Report:
    """Train and judge the teacher."""
    run = Run(recipe, distils=False)
    teacher = run.train("teacher", recipe.teacher, recipe.teacher_leads, recipe.losses, None)
    return run.report({"teacher": teacher})


if __name__ == "__main__":
    run_recipe(main, Recipe(losses=("bce=1",), output="runs/teacher"), __doc__)
