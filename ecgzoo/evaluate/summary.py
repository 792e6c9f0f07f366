"""Evaluation: every figure of a model on a set of records, ready for a card or a table."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ecgzoo.errors import DataError
from ecgzoo.evaluate.bootstrap import bootstrap_ci
from ecgzoo.evaluate.calibration import expected_calibration_error
from ecgzoo.evaluate.metrics import (
    brier_score,
    check_scores,
    fmax,
    macro_auc,
    macro_average_precision,
    per_class_auc,
)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures of one model on one set of records.

    Attributes:
        records: how many records.
        positives: positive records of each class, by name.
        macro_auc: mean AUC over the classes that have both outcomes.
        ci: 95 % bootstrap interval of the macro AUC, ``(low, high)``.
        per_class: AUC of each class by name; None where a class has one outcome only.
        macro_average_precision: mean average precision over the same classes as the macro AUC.
        fmax: sample-centric Fmax.
        brier: Brier score, mean over classes.
        ece: expected calibration error in 15 bins, mean over classes.
    """

    records: int
    positives: dict[str, int]
    macro_auc: float
    ci: tuple[float, float]
    per_class: dict[str, float | None]
    macro_average_precision: float
    fmax: float
    brier: float
    ece: float

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON holds them: lists for tuples, None for what is undefined."""
        return {**asdict(self), "ci": list(self.ci)}


def evaluate_scores(
    y_true: np.ndarray,
    y_score: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
) -> Evaluation:
    """Every figure of a model on a set of records.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.
        classes: class names, ``[C]``.
        groups: the patient of each record, ``[N]``, for the interval; None draws single records.
        seed: of the bootstrap.
        num_resamples: of the bootstrap.

    Raises:
        DataError: names that do not fit the columns, a score is no probability, no class has both outcomes; or see
            :func:`ecgzoo.evaluate.bootstrap.bootstrap_ci`.
    """
    labels, scores = check_scores(y_true, y_score, probabilities=True)
    if len(set(classes)) != labels.shape[1] or len(classes) != labels.shape[1]:
        raise DataError(
            f"Found {len(classes)} class names, {len(set(classes))} of them distinct, for {labels.shape[1]} columns; "
            "expected one distinct name a column."
        )
    return Evaluation(
        records=len(labels),
        positives={name: int(count) for name, count in zip(classes, labels.sum(axis=0), strict=True)},
        macro_auc=macro_auc(labels, scores),
        ci=bootstrap_ci(labels, scores, groups, num_resamples=num_resamples, seed=seed),
        per_class={
            name: None if math.isnan(auc) else float(auc)
            for name, auc in zip(classes, per_class_auc(labels, scores), strict=True)
        },
        macro_average_precision=macro_average_precision(labels, scores),
        fmax=fmax(labels, scores),
        brier=brier_score(labels, scores),
        ece=expected_calibration_error(labels, scores),
    )
