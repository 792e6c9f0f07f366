"""A better single-lead student than mvkt.py; docs/results.md shows all seeds and the gain from each part.

    ecgzoo recipe mvkt_plus
    ecgzoo recipe mvkt_plus --data ptbxl --root DIR --aux-task all --output runs/plus

The student is first pretrained on all twelve leads, without labels: it learns which two leads belong to the same heart.
It is then trained on its own lead with labels, the teacher's predictions (MKD) and the labels of a finer task, on
five-second crops, with averaged weights.
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
