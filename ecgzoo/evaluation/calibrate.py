"""Calibrate a trained model: temperature, thresholds and metrics, all from the validation records."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ecgzoo.config import LEAST_AUC, LEAST_POSITIVES
from ecgzoo.evaluation.calibration import fit_temperature
from ecgzoo.evaluation.cohort import CohortScores
from ecgzoo.evaluation.thresholds import decision_points, sensitivity_specificity
from ecgzoo.model import EcgModel


def calibrate(
    model: EcgModel, score: Callable[[EcgModel], CohortScores], on: str, about: dict[str, Any], seed: int
) -> None:
    """Set temperature, thresholds and metrics in the config of `model`.

    Args:
        model: a trained model, with the weights that will be published.
        score: gives the model's probabilities on the validation records.
        on: a description of these records.
        about: what else is saved with the metrics, such as the data set.
        seed: seed of the intervals.
    """
    model.config = dataclasses.replace(model.config, temperature=1.0)  # not that of an earlier calibration
    raw = score(model)
    model.config = dataclasses.replace(model.config, temperature=fit_temperature(raw.y_true, raw.y_score))
    scores = score(model)
    figures = scores.evaluation(seed).to_dict()
    intervals = figures["per_class_ci"] | {name: found["ci"] for name, found in figures["aggregates"].items()}
    columns = scores.columns()
    thresholds = {
        name: decision_points(*column)
        for name, column in columns.items()
        if LEAST_POSITIVES <= column[0].sum() < len(column[0])
        and (interval := intervals.get(name)) is not None
        and interval[0] > LEAST_AUC
    }
    at_thresholds = {
        name: {point: sensitivity_specificity(*columns[name], value) for point, value in points.items()}
        for name, points in thresholds.items()
    }
    model.config = dataclasses.replace(
        model.config,
        thresholds=thresholds,
        calibrated_on=on,
        metrics={
            **about,
            "folds": list(scores.folds),
            "chosen_on_these_folds": True,
            **figures,
            "at_thresholds": at_thresholds,
        },
    )
