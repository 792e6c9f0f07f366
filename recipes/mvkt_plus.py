"""Beyond mvkt.py: what made a better student of one lead; docs/results.md has the seeds and what each part gave.

    accelerate launch recipes/mvkt_plus.py
    accelerate launch recipes/mvkt_plus.py --data ptbxl --root DIR --aux-task all --output runs/plus

The student first learns on all twelve leads, without labels, which two are of one heart; then labels and the teacher's
answers (MKD) on its own lead, the labels of a finer task beside them, on five-second crops, with averaged weights.
"""

import sys

from ecgzoo import Recipe, distill, run_recipe

RECIPE = Recipe(
    losses=("bce=1", "mkd=1", "aux=0.2"),
    aux_task="diagnostic",
    pretrain_epochs=120,
    student_arguments={"drop_rate": 0},
    window_s=5,
    stride_s=2.5,
    ema_decay=0.998,
    epochs=20,
    output="runs/mvkt_plus",
)


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(distill, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
