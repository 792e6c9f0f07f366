"""Choose temperature and thresholds of a trained model, and measure it, again; its weights stay as they are.

    python -m benchmarks.calibrate NAME --root DIR -o FOLDER

For weights that were trained before something in front of the network changed, such as the removal of drift. The
records are the validation folds of its training; DIR is the folder of the data set.
"""

import argparse
import dataclasses
from pathlib import Path

import ecgzoo
from ecgzoo.data import parse_folds
from ecgzoo.evaluation.calibrate import calibrate
from ecgzoo.provenance import provenance
from ecgzoo.weights import save_pretrained


def main() -> None:
    """Write the model with its new config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, or a name of packaged weights")
    parser.add_argument("--root", required=True, help="the data set's folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    model = ecgzoo.load_pretrained(given.model)
    training = model.config.training
    cohort = ecgzoo.load_cohort(training["data"], given.root, model.config.task)
    folds = parse_folds(training["val_folds"])
    model.config = dataclasses.replace(model.config, training={**training, "calibrated_with": provenance()})
    calibrate(
        model,
        lambda model: ecgzoo.evaluate(model, cohort, folds, progress=True),
        f"{cohort.title}, folds {training['val_folds']}",
        {"data": cohort.name, "simulated": cohort.simulated},
        training["seed"],
    )
    print(save_pretrained(model, given.output))


if __name__ == "__main__":
    main()
