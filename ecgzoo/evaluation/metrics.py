"""Metrics of multi-label predictions: macro AUC, average precision, Fmax and Brier score.

Every function takes labels ``y_true`` and scores ``y_score``, both ``[N, C]``: a row per record, a column per class.
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgzoo.errors import DataError

_FMAX_THRESHOLDS = np.linspace(0.0, 1.0, 101)


def check_scores(
    y_true: np.ndarray, y_score: np.ndarray, *, probabilities: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Check labels and scores; return labels as bool and scores as float64, both ``[N, C]``.

    Raises:
        DataError: the arrays are not both numbers ``[N, C]`` with at least one record and one class, a label is not 0
            or 1, a score is not finite, or (with `probabilities`) a score is outside 0 to 1.
    """
    try:
        labels, scores = np.asarray(y_true), np.asarray(y_score, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Labels and scores cannot be read as arrays of numbers ({error}); expected [records, classes] for both."
        ) from error
    if labels.ndim != 2 or labels.shape != scores.shape or labels.size == 0:
        raise DataError(
            f"Found labels of shape {labels.shape} and scores of shape {scores.shape}; "
            "expected [records, classes] for both, not empty. Reshape a single class to [records, 1]."
        )
    odd = labels[~np.isin(labels, (0, 1))]
    if odd.size:
        raise DataError(
            f"{odd.size} labels are not 0 or 1, the first is {odd[0]!s}; expected a multi-hot array. "
            "Encode the classes, and leave out records whose label is unknown."
        )
    if not np.isfinite(scores).all():
        record, column = np.argwhere(~np.isfinite(scores))[0]
        raise DataError(
            f"{(~np.isfinite(scores)).sum()} scores are not finite, the first is {scores[record, column]} at record "
            f"{record}, class {column}. Look for a diverged model or invalid samples in that record."
        )
    if probabilities and (scores.min() < 0 or scores.max() > 1):
        raise DataError(
            f"Scores run from {scores.min():.4g} to {scores.max():.4g}; expected probabilities from 0 to 1. "
            "Pass the sigmoid of the logits."
        )
    return labels.astype(bool), scores


def per_class_auc(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """ROC AUC of each class, ``[C]``; NaN for a class that has only positives or only negatives.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: any finite scores, higher for more likely, ``[N, C]``. Tied pairs count one half.

    Raises:
        DataError: see :func:`check_scores`.
    """
    labels, scores = check_scores(y_true, y_score)
    auc = np.full(labels.shape[1], np.nan)
    columns = _columns_with_both_outcomes(labels)
    if columns.size:
        auc[columns] = roc_auc_score(labels[:, columns], scores[:, columns], average=None)
    return auc


def macro_auc(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """Mean ROC AUC over the classes that have positives and negatives, the main metric of the PTB-XL benchmark.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: any finite scores, higher for more likely, ``[N, C]``.

    Raises:
        DataError: no class has positives and negatives; or see :func:`check_scores`.

    Source: doi:10.1109/jbhi.2020.3022989.
    """
    auc = per_class_auc(y_true, y_score)
    if np.isnan(auc).all():
        raise _no_class_left(len(y_true))
    return float(np.nanmean(auc))


def macro_average_precision(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """Mean average precision over the classes that have positives and negatives, as for the macro AUC.

    Average precision is scikit-learn's step-wise sum, not the interpolated area.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: any finite scores, higher for more likely, ``[N, C]``.

    Raises:
        DataError: no class has positives and negatives; or see :func:`check_scores`.
    """
    labels, scores = check_scores(y_true, y_score)
    columns = _columns_with_both_outcomes(labels)
    if not columns.size:
        raise _no_class_left(len(labels))
    return float(np.mean([average_precision_score(labels[:, column], scores[:, column]) for column in columns]))


def fmax(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """Sample-centric Fmax: the best harmonic mean of record-averaged precision and recall over one shared threshold.

    This is the definition of the CAFA challenge (doi:10.1038/nmeth.2340), which the PTB-XL benchmark uses
    (doi:10.1109/jbhi.2020.3022989). At each threshold τ = 0, 0.01, …, 1 a record is called positive for the classes
    with score ≥ τ. Precision(τ) is the mean over the records with at least one call, recall(τ) the mean over all
    records. Fmax is the maximum of F(τ), the harmonic mean of these two means (not the mean of each record's F).
    A record without any label has no recall, so it counts only in the precision.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.

    Raises:
        DataError: no record has a label, or a score is not a probability; or see :func:`check_scores`.
    """
    labels, scores = check_scores(y_true, y_score, probabilities=True)
    diagnoses = labels.sum(axis=1)
    labelled = diagnoses > 0
    if not labelled.any():
        raise DataError(f"None of the {len(labels)} records has a label, so recall is undefined. Check the task.")
    best = 0.0
    for threshold in _FMAX_THRESHOLDS:
        called = scores >= threshold
        calls, hits = called.sum(axis=1), (called & labels).sum(axis=1)
        if not hits.any():  # higher thresholds have no hits either
            break
        precision = np.mean(hits[calls > 0] / calls[calls > 0])
        recall = np.mean(hits[labelled] / diagnoses[labelled])
        best = max(best, float(2 * precision * recall / (precision + recall)))
    return best


def brier_score(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """Mean squared difference of probability and label, averaged over records, then over classes; 0 is best.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.

    Raises:
        DataError: a score is not a probability; or see :func:`check_scores`.
    """
    labels, scores = check_scores(y_true, y_score, probabilities=True)
    return float(np.mean((scores - labels) ** 2))


def _columns_with_both_outcomes(labels: np.ndarray) -> np.ndarray:
    return np.flatnonzero(labels.any(axis=0) & ~labels.all(axis=0))


def _no_class_left(records: int) -> DataError:
    return DataError(
        f"No class has both a positive and a negative among the {records} records, so the metric is undefined. "
        "Evaluate on more records, or check that the labels belong to the task."
    )
