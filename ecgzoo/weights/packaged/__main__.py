"""Add a trained model to the package as ``backbone.TAG``.

python -m ecgzoo.weights.packaged FOLDER TAG
python -m ecgzoo.weights.packaged FOLDER TAG ROOT    # first choose temperature and thresholds, and measure, again

ROOT is the folder of the data set. Use it when something before the network has changed, such as the removal of drift.
"""

import dataclasses
import sys
from pathlib import Path

from ecgzoo import load_cohort
from ecgzoo.data import parse_folds
from ecgzoo.evaluation.calibrate import calibrate
from ecgzoo.evaluation.cohort import cohort_scores, score_rows
from ecgzoo.model import EcgModel
from ecgzoo.provenance import provenance
from ecgzoo.weights import load_pretrained, save_pretrained


def main(folder: str, tag: str, root: str | None = None) -> None:
    """Load the model in `folder`, verify it and save it in the package, without its checkpoint and log."""
    model = load_pretrained(folder)
    if root:
        calibrate_again(model, root)
    training = model.config.training
    if any(
        by.get("revision", "dirty").endswith("dirty") for by in (training, training.get("calibrated_with", training))
    ):
        sys.exit(f"{folder} was made with code that was not committed; commit it and make it again")
    name = f"{model.config.architecture}.{tag}"
    print(save_pretrained(model, Path(__file__).parent / name, source=name))


def calibrate_again(model: EcgModel, root: str) -> None:
    """Temperature, thresholds and metrics on the validation folds of its training; the weights stay as they are."""
    training = model.config.training
    cohort, folds = load_cohort(training["data"], root, model.config.task), parse_folds(training["val_folds"])
    rows = cohort.rows(folds)
    model.config = dataclasses.replace(
        model.config, temperature=1.0, training={**training, "calibrated_with": provenance()}
    )
    calibrate(
        model,
        lambda model: cohort_scores(cohort, folds, rows, score_rows(model, cohort, rows, progress=True)),
        f"{cohort.title}, folds {training['val_folds']}",
        {"data": cohort.name, "simulated": cohort.simulated},
        training["seed"],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
