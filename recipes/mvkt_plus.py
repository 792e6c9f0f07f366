"""Beyond mvkt.py: the parts that helped a student of one lead in single runs; docs/results.md has the seeds so far.

    accelerate launch recipes/mvkt_plus.py
    accelerate launch recipes/mvkt_plus.py --data ptbxl --root DIR --aux-task all --output runs/plus

MKD without dropout, finer labels as a second task, five-second crops, averaged weights, and half of the epochs on
whatever lead.
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
    epochs=30,
    output="runs/mvkt_plus",
)

if __name__ == "__main__":
    run_recipe(distill, PLUS, __doc__)
