"""The scripts of the top-level folder ``recipes/``; a wheel has them next to this file. Imports no torch."""

from pathlib import Path

from ecgzoo.specs import RecipeSpec

if not (Path(__file__).parent / "mvkt.py").exists():  # a checkout: the scripts are in the top-level folder
    __path__.append(str(Path(__file__).parents[2] / "recipes"))

SPECS = (
    RecipeSpec(
        name="mvkt",
        factory="ecgzoo.recipes.mvkt:main",
        summary="MVKT-ECG: a teacher with many leads, a student with few, and BCE + MKD + CLT (arXiv 2301.12178)",
    ),
    RecipeSpec(
        name="mvkt_plus",
        factory="ecgzoo.recipes.mvkt_plus:main",
        summary="pretraining on pairs of leads without labels; then BCE + MKD and a finer second task",
    ),
    RecipeSpec(
        name="handheld",
        factory="ecgzoo.recipes.handheld:main",
        summary="a student for handhelds and wearables: rhythm windows, no amplitude, simulated differences of devices",
    ),
    RecipeSpec(
        name="tiny",
        factory="ecgzoo.recipes.tiny:main",
        summary="a student for microcontrollers: at most 100,000 parameters, distilled as by mvkt_plus",
    ),
    RecipeSpec(
        name="kd",
        factory="ecgzoo.recipes.kd:main",
        summary="vanilla distillation: BCE + KL between softmaxes (arXiv 1503.02531)",
    ),
    RecipeSpec(
        name="teacher",
        factory="ecgzoo.recipes.teacher:main",
        summary="only a teacher: many leads, trained on labels",
    ),
    RecipeSpec(
        name="baseline",
        factory="ecgzoo.recipes.baseline:main",
        summary="a student trained on labels alone, without a teacher",
    ),
)
