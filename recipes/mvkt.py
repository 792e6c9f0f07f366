"""MVKT-ECG (arXiv 2301.12178): a teacher of many leads teaches a student of few, with BCE + MKD + CLT.

    accelerate launch recipes/mvkt.py                         # the simulated cohort
    accelerate launch recipes/mvkt.py --data ptbxl --root DIR --output runs/real

Trains the teacher if --teacher-weights gives none, the student on labels alone for comparison, then the student;
ends with a table of macro AUCs on the test folds. Everything is in --output; --resume continues a stopped run.
"""

from ecgzoo.cli.recipe import run_recipe
from ecgzoo.training import Recipe, distill

if __name__ == "__main__":
    run_recipe(distill, Recipe(losses=("bce=1", "mkd=1", "clt=0.8"), output="runs/mvkt"), __doc__)
