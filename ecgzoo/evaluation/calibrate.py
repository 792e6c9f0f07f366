"""Calibration of a trained model: temperature, thresholds and figures, all from the records on which it was chosen."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ecgzoo.evaluation.calibration import fit_temperature
from ecgzoo.evaluation.cohort import CohortScores
from ecgzoo.evaluation.thresholds import decision_points, sensitivity_specificity
from ecgzoo.model import EcgModel

LEAST_POSITIVES = 20  # a threshold chosen on fewer is chance, so the model gives no finding


def calibrate(
    model: EcgModel, score: Callable[[EcgModel], CohortScores], on: str, about: dict[str, Any], seed: int
) -> None:
    """Give `model` its temperature, its thresholds and its figures, in its config.

    Args:
        model: trained, its weights as they will be published.
        score: gives the model's probabilities on the validation records.
        on: what these records are called.
        about: what else stands beside the figures, such as the data set.
        seed: of the intervals.
    """
    raw = score(model)
    model.config = dataclasses.replace(model.config, temperature=fit_temperature(raw.y_true, raw.y_score))
    scores = score(model)
    columns = scores.columns()
    thresholds = {
        name: decision_points(*column)
        for name, column in columns.items()
        if LEAST_POSITIVES <= column[0].sum() < len(column[0])
    }
    at_thresholds = {
        name: {point: sensitivity_specificity(*columns[name], value) for point, value in points.items()}
        for name, points in thresholds.items()
    }
    figures = scores.evaluation(seed).to_dict()
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
