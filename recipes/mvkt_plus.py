"""Beyond mvkt.py: what made a better student of one lead; docs/results.md has the seeds and what each part gave.

    accelerate launch recipes/mvkt_plus.py
    accelerate launch recipes/mvkt_plus.py --data ptbxl --root DIR --aux-task all --output runs/plus

Labels and the teacher's answers (MKD) as in mvkt.py; beside them the labels of a finer task, five-second crops,
averaged weights, twice the epochs, and half of those on whatever lead.
"""

from ecgzoo.cli.recipe import run_recipe
from ecgzoo.distill import Recipe, distill

PLUS = Recipe(
    losses=("bce=1", "mkd=1", "aux=0.2"),
    aux_task="diagnostic",
    any_lead=0.7,
    student_arguments=("drop_rate=0",),
    window_s=5,
    stride_s=2.5,
    ema_decay=0.998,
    epochs=40,
    output="runs/mvkt_plus",
)

if __name__ == "__main__":
    run_recipe(distill, PLUS, __doc__)
