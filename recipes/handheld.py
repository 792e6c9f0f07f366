"""A student for handheld and wearable devices: on labels alone, trained to be robust on devices that it has not seen.

    ecgzoo recipe handheld
    ecgzoo recipe handheld --data ptbxl --root DIR --task rhythm --output runs/rhythm

Windows are eight seconds, long enough for a rhythm; baseline and amplitude are removed. Training crops come from any
lead and either polarity, with the noise, frequency band and rate error of handheld devices. Weights are averaged. With
--losses bce=1 mkd=1, a teacher is used.
"""

import sys

from ecgzoo import Recipe, distill, run_recipe

RECIPE = Recipe(
    losses=("bce=1",),
    transforms=("any_lead=0.7", "polarity=0.5", "noise=0.3,share=0.5", "filter=0.3", "resample=0.03"),
    normalization="window_z",
    highpass_hz=0.5,
    window_s=8,
    stride_s=1,
    student_arguments={"drop_rate": 0},
    ema_decay=0.998,
    epochs=20,
    compare=False,
    output="runs/handheld",
)


def main(argv: list[str]) -> None:
    """Run it with these flags."""
    run_recipe(distill, RECIPE, __doc__, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
