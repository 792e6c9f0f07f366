"""A student and a teacher of your choice: backbones, leads, arguments, losses, and learning rates by part.

    python examples/own_pair.py

`ecgzoo list` shows the backbones, `ecgzoo list --kind loss` the losses. The data are simulated.
"""

from pathlib import Path
from typing import Any

import ecgzoo

RECIPE = ecgzoo.Recipe(
    teacher="xresnet1d34",
    teacher_leads=ecgzoo.LEADS_12,
    student="resnet1d18",
    student_leads=("I", "II"),
    student_arguments={"drop_rate": 0.2},
    losses=("bce=1", ecgzoo.LossTerm("mkd", 1, {"temperature": 2}), "clt=0.5,critic=infonce"),
    transforms=("gain=0.3", "noise=0.05"),
    epochs=3,
    output="runs/own_pair",
)


def slower_body(module: ecgzoo.Distiller) -> list[dict[str, Any]]:
    """Parameter groups: the recipe's learning rate for the classifier, a third of it for body and losses."""
    head = list(module.student.get_classifier().parameters())
    ids = {id(parameter) for parameter in head}
    body = [parameter for parameter in module.parameters() if id(parameter) not in ids]
    return [{"params": body, "lr": RECIPE.lr / 3}, {"params": head}]


def main(recipe: ecgzoo.Recipe = RECIPE, cohort: ecgzoo.Cohort | None = None) -> ecgzoo.EcgModel:
    """Train a teacher, a student on labels alone and a distilled student; the results are also in ``results.json``."""
    report = ecgzoo.distill(recipe, cohort, optimizer=slower_body)
    for arm, figures in report.values["arms"].items():
        low, high = figures["ci"]
        print(
            f"{arm:9} {len(figures['leads']):2} leads  macro AUC {figures['macro_auc']:.3f} ({low:.3f} to {high:.3f})"
        )
    return ecgzoo.load_pretrained(Path(str(recipe.output)) / "student")


if __name__ == "__main__":
    main()
