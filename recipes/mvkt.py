"""MVKT-ECG (arXiv 2301.12178): a teacher with many leads trains a student with few, by BCE + MKD + CLT.

    ecgzoo recipe mvkt                         # the simulated cohort
    ecgzoo recipe mvkt --data ptbxl --root DIR --output runs/real

Trains the teacher (unless --teacher-weights is given), a student on labels alone for comparison, and then the student.
Prints a table of macro AUCs on the test folds. Everything is written to --output; --resume continues a stopped run.
"""

import sys

from ecgzoo import Recipe, distill, run_recipe

RECIPE = Recipe(losses=("bce=1", "mkd=1", "clt=0.8"), output="runs/mvkt")


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(distill, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
