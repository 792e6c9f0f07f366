"""A student for microcontrollers: at most 100,000 parameters, 120 kB as ONNX with 8-bit integers.

    ecgzoo recipe tiny
    ecgzoo recipe tiny --data ptbxl --root DIR --aux-task all --output runs/tiny
    ecgzoo export --model runs/tiny/student --format onnx-int8 --data ptbxl --root DIR --calibrate-folds 8 -o tiny.onnx

As mvkt_plus.py, for the backbone xresnet1d_tiny and longer, since a small network is slow to learn what a large one
knows, and quick to train. Its kernels are odd, its paddings explicit and its activations ReLU, as integers want them.
"""

import sys

from ecgzoo import Recipe, distill, run_recipe

RECIPE = Recipe(
    student="xresnet1d_tiny",
    losses=("bce=1", "mkd=1", "aux=0.2"),
    aux_task="diagnostic",
    pretrain_epochs=120,
    student_arguments={"drop_rate": 0},
    highpass_hz=0.5,
    window_s=5,
    stride_s=2.5,
    ema_decay=0.998,
    epochs=40,
    output="runs/tiny",
)


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(distill, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
