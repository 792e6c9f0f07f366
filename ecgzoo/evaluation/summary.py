"""Evaluation: all metrics of a model on a set of records, for cards and tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ecgzoo.aggregates import with_aggregates
from ecgzoo.errors import DataError
from ecgzoo.evaluation.bootstrap import bootstrap_aucs, bootstrap_ci
from ecgzoo.evaluation.calibration import expected_calibration_error, reliability_curve
from ecgzoo.evaluation.metrics import (
    brier_score,
    check_scores,
    fmax,
    macro_auc,
    macro_average_precision,
    per_class_auc,
)

MIN_SUBGROUP = 50  # records; an AUC of fewer records is not reliable


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of one model on one set of records.

    Attributes:
        records: how many records.
        positives: number of positive records of each class, by name.
        macro_auc: mean AUC over the classes that have positives and negatives.
        ci: 95 % bootstrap interval of the macro AUC, ``(low, high)``.
        per_class: AUC of each class by name; None for a class with only positives or only negatives.
        macro_average_precision: mean average precision over the same classes as the macro AUC.
        fmax: sample-centric Fmax.
        brier: Brier score, mean over classes.
        ece: expected calibration error in 15 bins, mean over classes.
        reliability: for all classes together, ``[predicted, observed, count]`` of each bin that is not empty.
        subgroups: number of records, classes that its macro AUC is of, macro AUC and its interval for each subgroup, by
            name. With fewer classes, it is not to be compared with that of all records.
        aggregates: number of positive records, AUC and its interval for each aggregate, by name. The macro AUC does not
            include aggregates.
        per_class_ci: 95 % bootstrap interval of each AUC, by name; None if more than a tenth of the resamples have no
            positive or no negative, as with one or two patients who are.
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
    reliability: list[list[float]]
    subgroups: dict[str, dict[str, Any]]
    aggregates: dict[str, dict[str, Any]] = field(default_factory=dict)
    per_class_ci: dict[str, list[float] | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The metrics as JSON values: lists for tuples, None for what is undefined."""
        return {**asdict(self), "ci": list(self.ci)}


def evaluate_scores(
    y_true: np.ndarray,
    y_score: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray | None = None,
    seed: int = 0,
    num_resamples: int = 1000,
    subgroups: Mapping[str, np.ndarray] | None = None,
    aggregates: Mapping[str, Sequence[str]] | None = None,
) -> Evaluation:
    """All metrics of a model on a set of records.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.
        classes: class names, ``[C]``.
        groups: the patient of each record, ``[N]``, for the interval; None draws single records.
        seed: seed of the bootstrap.
        num_resamples: number of resamples of the bootstrap.
        subgroups: by name, which records belong to it, bool ``[N]``. One is left out if it is too small, has no
            positive, has a class with only positives, or its interval is undefined, as that of a single patient is.
        aggregates: by name, the classes that it combines; an aggregate with only positives or only negatives, or whose
            interval is undefined, is left out.

    Raises:
        DataError: names that do not fit the columns, a subgroup that is not bool ``[N]``, an aggregate of other
            classes, a score that is not a probability, or no class with positives and negatives; or see
            :func:`ecgzoo.evaluation.bootstrap.bootstrap_ci`.
    """
    labels, scores = check_scores(y_true, y_score, probabilities=True)
    subgroups, aggregates = subgroups or {}, aggregates or {}
    _check_parts(labels.shape, classes, subgroups, aggregates)
    classes = list(classes)
    ci, intervals = bootstrap_aucs(labels, scores, groups, num_resamples, seed=seed)
    groups = None if groups is None else np.asarray(groups)
    return Evaluation(
        records=len(labels),
        positives={name: int(count) for name, count in zip(classes, labels.sum(axis=0), strict=True)},
        macro_auc=macro_auc(labels, scores),
        ci=ci,
        per_class={
            name: None if math.isnan(auc) else float(auc)
            for name, auc in zip(classes, per_class_auc(labels, scores), strict=True)
        },
        macro_average_precision=macro_average_precision(labels, scores),
        fmax=fmax(labels, scores),
        brier=brier_score(labels, scores),
        ece=expected_calibration_error(labels, scores),
        reliability=_reliability(labels, scores),
        subgroups={
            name: {
                "records": len(true),
                "classes": int(true.any(axis=0).sum()),
                "macro_auc": macro_auc(true, score),
                "ci": interval,
            }
            for name, chosen in subgroups.items()
            for true, score in [(labels[chosen], scores[chosen])]
            if len(true) >= MIN_SUBGROUP and true.any() and not true.all(axis=0).any()
            if (interval := _interval(true, score, None if groups is None else groups[chosen], num_resamples, seed))
        },
        aggregates={
            name: {"positives": int(true.sum()), "auc": macro_auc(true, score), "ci": interval}
            for name, of in aggregates.items()
            for true, score in [[with_aggregates(x, classes, {name: of})[:, -1:] for x in (labels, scores)]]
            if 0 < true.mean() < 1 and (interval := _interval(true, score, groups, num_resamples, seed))
        },
        per_class_ci={
            name: None if interval is None else list(interval)
            for name, interval in zip(classes, intervals, strict=True)
        },
    )


def _check_parts(
    shape: tuple[int, ...],
    classes: Sequence[str],
    subgroups: Mapping[str, np.ndarray],
    aggregates: Mapping[str, Sequence[str]],
) -> None:
    """Refuse names, subgroups and aggregates that do not fit labels of the shape ``(N, C)``."""
    records, columns = shape
    if len(set(classes)) != columns or len(classes) != columns:
        raise DataError(
            f"Found {len(classes)} class names, {len(set(classes))} of them distinct, for {columns} columns; "
            "expected one distinct name per column."
        )
    for name, chosen in subgroups.items():
        if np.asarray(chosen).dtype != bool or np.shape(chosen) != (records,):
            raise DataError(
                f"Subgroup {name} is {np.asarray(chosen).dtype} of shape {np.shape(chosen)}; expected bool of shape "
                f"({records},): which records belong to it. Compare, such as sexes == 1."
            )
    for name, of in aggregates.items():
        if not of or not set(of) <= set(classes):
            raise DataError(f"Aggregate {name} of {of!r}; expected some of the classes {', '.join(classes)}.")


def _interval(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray | None, num_resamples: int, seed: int
) -> list[float] | None:
    """None if it is undefined; that of all records has shown that the arguments are right."""
    try:
        return list(bootstrap_ci(labels, scores, groups, num_resamples=num_resamples, seed=seed))
    except DataError:
        return None


def _reliability(labels: np.ndarray, scores: np.ndarray) -> list[list[float]]:
    curve = reliability_curve(labels.reshape(-1, 1), scores.reshape(-1, 1))
    bins = zip(curve.predicted[0], curve.observed[0], curve.counts[0], strict=True)
    return [[float(predicted), float(observed), int(count)] for predicted, observed, count in bins if count]
