"""The scripts of the top-level folder ``recipes/``, which a wheel carries beside this page. Imports no torch."""

from pathlib import Path

from ecgzoo.specs import RecipeSpec

if not (Path(__file__).parent / "mvkt.py").exists():  # a checkout: the scripts are where everyone looks for them
    __path__.append(str(Path(__file__).parents[2] / "recipes"))

SPECS = (
    RecipeSpec(
        name="mvkt",
        factory="ecgzoo.recipes.mvkt:main",
        summary="MVKT-ECG: a teacher of many leads teaches a student of few, with BCE + MKD + CLT (arXiv 2301.12178)",
    ),
    RecipeSpec(
        name="mvkt_plus",
        factory="ecgzoo.recipes.mvkt_plus:main",
        summary="pairs of leads first, without labels; then BCE + MKD and a finer second task",
    ),
    RecipeSpec(
        name="handheld",
        factory="ecgzoo.recipes.handheld:main",
        summary="a student that holds on handhelds and wearables: rhythm windows, no amplitude, other devices imitated",
    ),
    RecipeSpec(
        name="kd",
        factory="ecgzoo.recipes.kd:main",
        summary="vanilla distillation: BCE + KL between softmaxes (arXiv 1503.02531)",
    ),
    RecipeSpec(
        name="teacher",
        factory="ecgzoo.recipes.teacher:main",
        summary="a teacher alone: many leads, labels only",
    ),
    RecipeSpec(
        name="baseline",
        factory="ecgzoo.recipes.baseline:main",
        summary="a student on labels alone, without a teacher",
    ),
)

__all__ = ["SPECS"]
